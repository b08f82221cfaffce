"""Speeds that are followed from commit to commit by asv; ../README.md says how.

What they measure is shared with the scripts in ``benchmarks``, which asv does not know.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
