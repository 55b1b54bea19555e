"""The process that examines a model: `python -m training.importing.child FOLDER MEMORY`, `order.json` is "
"in the folder."""

from __future__ import annotations

import sys

from training.children import answer
from training.importing.examine import examine
from training.importing.messages import ImportOrder

if __name__ == "__main__":
    answer(sys.argv[1:], ImportOrder, examine)
