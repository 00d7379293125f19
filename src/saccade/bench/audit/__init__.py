"""What looking really contributes: one policy, one set of questions, eight arms.

await audit(recipe, Path("runs/audit"))        # plays; the same call resumes
found = read_audit(Path("runs/audit"))         # a record of what was measured
"""

from saccade.bench.audit.play import audit
from saccade.bench.audit.read import read_audit
from saccade.bench.audit.record import Audit

__all__ = ["Audit", "audit", "read_audit"]
