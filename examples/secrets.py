"""A secret of this machine's store in a sandbox's variable; the program itself never has its value.

Before: ``cwsandbox secrets set team API_KEY`` and ``CWSANDBOX_BASE_URL=local``.
"""

from cwsandbox import Sandbox, Secret

COUNT = "import os; print(len(os.environ['API_KEY']), 'characters')"

with Sandbox.run(secrets=[Secret(store="team", name="API_KEY")]) as sandbox:
    print(sandbox.exec(["python3", "-c", COUNT]).result().stdout, end="")
