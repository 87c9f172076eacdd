from gradtool.report.assertion import assert_gradients as assert_gradients

__version__: str
