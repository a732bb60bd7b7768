"""A shell with a terminal: it is typed into, gets another size, and a Ctrl-C."""

from cwsandbox import Sandbox, TerminalSession


def shown(session: TerminalSession, end: str) -> str:
    """What the terminal shows from here on, up to this text."""
    text = ""
    for data in session.output:
        text += data.decode().replace("\r\n", "\n")
        if text.endswith(end):
            break
    return text


with (
    Sandbox.run() as sandbox,
    sandbox.shell(["/bin/sh"], width=100, height=30, env={"PS1": "> "}) as session,
):
    print(shown(session, "> "), end="")
    session.write(b"stty size\n")
    print(shown(session, "> "), end="")
    session.resize(80, 24)
    session.write(b"stty size\n")
    print(shown(session, "> "), end="")
    session.write(b"sh -c 'echo busy; exec sleep 1000'\n")
    print(shown(session, "busy\n"), end="")
    session.write(b"\x03")
    print(shown(session, "> "), end="")
    session.write(b"exit 3\n")
    print(shown(session, "exit 3\n"), end="")
    print("exit code", session.wait())
