"""Lints data contracts, and tests those of live topics: check.py lint|test FILE…

Ends with status 1 where something is not as the contract says, or a contract of a topic was not tested.
"""

import sys

from datacontract.data_contract import DataContract
from datacontract.model.run import ResultEnum

what, *files = sys.argv[1:]
failed = False
for file in files:
    contract = DataContract(data_contract_file=file)
    run = contract.lint() if what == "lint" else contract.test()
    wrong = [c for c in run.checks if c.result != ResultEnum.passed]
    print(f"{file}: {len(run.checks)} checks, {len(wrong)} not passed")
    for c in wrong[:20]:
        print(f"  {c.name}: {c.reason}", file=sys.stderr)
    failed |= bool(wrong) or run.result != ResultEnum.passed
sys.exit(failed)
