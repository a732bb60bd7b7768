"""Answer prompts: they end without a newline, so read text as it arrives instead of lines."""

from cwsandbox import Sandbox

SCRIPT = """
printf 'name? '; read name
printf 'colour? '; read colour
echo "$name likes $colour"
"""
ANSWERS = {"name? ": "Ada", "colour? ": "green"}

with Sandbox.run() as sandbox:
    process = sandbox.exec(["sh", "-c", SCRIPT], stdin=True)
    seen = ""
    for text in process.stdout.chunks():
        print(text, end="")
        seen += text
        for question, answer in ANSWERS.items():
            if seen.endswith(question):
                print(answer)
                process.stdin.writeline(answer).result()
