"""Plans of the bundled layers that come with an installed gradtool, made when its wheel was built.

They are found by the text of the spec, read only, and never there in a checkout, where they could
be older than the code: the build makes them anew each time from the code that it packs.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "plans_data"


def entry(text: str) -> dict[str, Any] | None:
    """What was kept for the text of a spec, or None."""
    try:
        data = json.loads((FOLDER / file_name(text)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def file_name(text: str) -> str:
    """The file that holds the plan of a spec's text."""
    return f"{sha256(text.encode()).hexdigest()[:32]}.json"
