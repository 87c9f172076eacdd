"""A `torch.autograd.Function` or a JAX `custom_vjp`: called as the framework calls them."""

from __future__ import annotations

from gradtool.check.arguments import Names, call
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate, is_custom_vjp, is_torch_function
from gradtool.check.targets import order_note
from gradtool.records import replace


def torch_function(candidate: Candidate, names: Names) -> list[Binding]:
    """Applied to tensors; the gradients come out of torch's own backward pass."""
    owner, forward = candidate.owner, candidate.forward
    if owner is None or forward is None or not is_torch_function(owner):
        return []
    plain = replace(forward, params=forward.params[1:], required=max(0, forward.required - 1))
    called = call(plain, names, {}, [v.name for v in names.variables if not v.read])
    given = [n for n in called.given.values() if n in names.real]
    labels = [n for n in called.given.values() if n not in names.real]
    setup = ["import torch"]
    setup += [f"{n} = torch.tensor({n}, dtype=torch.float64, requires_grad=True)" for n in given]
    setup += [f"{n} = torch.as_tensor({n})" for n in labels]
    outputs = ", ".join(names.outputs)
    pair = len(names.outputs) > 1
    upstream = ", ".join(f"torch.as_tensor(d{name})" for name in names.outputs)
    made, pulled = (f"({outputs},)", f"({upstream},)") if pair else (outputs, upstream)
    targets = "".join(f"d{n}, " for n in given).strip()
    return [
        Binding(
            f"the torch.autograd.Function {owner.name}" + order_note(called),
            f"{outputs} = {owner.name}.apply({called.text})",
            f"{targets} = torch.autograd.grad({made}, ({', '.join(given)},), {pulled})",
            "\n".join(setup),
            gradients=tuple(n for n in names.real if n in given),
            guess=called.guess,
        )
    ]


def jax_custom_vjp(candidate: Candidate, names: Names) -> list[Binding]:
    """Pulled back by `jax.vjp`, in double precision."""
    forward = candidate.forward
    if candidate.owner or forward is None or not is_custom_vjp(forward):
        return []
    called = call(forward, names, {}, [v.name for v in names.variables if not v.read])
    order = [called.given[p] for p in forward.params if p in called.given]
    outputs = ", ".join(names.outputs)
    several = len(names.outputs) > 1
    result = f"({outputs})" if several else outputs
    upstream = ", ".join(f"jax.numpy.asarray(d{name})" for name in names.outputs)
    targets = "".join(f"d{n}, " if n in names.real else "_, " for n in order).strip()
    return [
        Binding(
            f"the jax.custom_vjp {forward.name}" + order_note(called),
            f"{result}, pull_back = jax.vjp({forward.name}, {called.text})",
            f"{targets} = pull_back({f'({upstream})' if several else upstream})",
            'import jax\njax.config.update("jax_enable_x64", True)',
            gradients=tuple(n for n in names.real if n in order),
            guess=called.guess,
        )
    ]
