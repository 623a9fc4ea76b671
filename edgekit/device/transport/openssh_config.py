"""Connection settings as OpenSSH itself resolves them (``ssh -G``), so that Include, Match and the rest just work."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import UsageError
from edgekit.core.notice import Notice

Options = Mapping[str, Sequence[str]]

# what we do not do: the user must hear of it instead of wondering why ssh works and we do not
_NOT_DONE = {
    "knownhostscommand": "KnownHostsCommand is not run: only known_hosts files and pinned keys count",
    "pkcs11provider": "keys on PKCS#11 tokens are not used: load them into an ssh-agent (`ssh-add -s`)",
    "remotecommand": "RemoteCommand is not run",
    "bindinterface": "BindInterface is not used: BindAddress is",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """How to reach one host. Paths are absolute, tokens such as ``%h`` expanded.

    Attributes:
        alias: as it was asked for.
        hostname, port, user: of the server.
        identity_files: keys in the order to try; they need not exist.
        certificate_files: of those keys, signed by an authority that the server trusts; they need not exist.
        identities_only: of the agent's keys use only those in ``identity_files``.
        identity_agent: the agent's socket; None: no agent.
        public_keys, passwords: whether these ways to authenticate are allowed.
        known_hosts: files with host keys.
        host_key_alias: look for this name in them instead.
        revoked_host_keys: file of keys that must not be accepted.
        jumps: hosts to go through, nearest first, as ``user@host:port``.
        proxy_command: command whose input and output are the connection, tokens expanded.
        bind_address: own address to connect from.
        family: ``any``, ``inet`` or ``inet6``.
        connect_timeout_s: from the configuration; None: ours.
        config: the file given with ``-F``; the jump hosts are resolved with it too.
        notices: settings of the user that are not followed.
    """

    alias: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[Path, ...] = ()
    certificate_files: tuple[Path, ...] = ()
    identities_only: bool = False
    identity_agent: str | None = None
    public_keys: bool = True
    passwords: bool = True
    known_hosts: tuple[Path, ...] = ()
    host_key_alias: str | None = None
    revoked_host_keys: Path | None = None
    jumps: tuple[str, ...] = ()
    proxy_command: str | None = None
    bind_address: str | None = None
    family: str = "any"
    connect_timeout_s: float | None = None
    config: Path | None = None
    notices: tuple[Notice, ...] = ()


def resolve(
    host: str,
    *,
    port: int | None = None,
    user: str | None = None,
    identity_file: Path | None = None,
    default_port: int | None = None,
    config: Path | None = None,
) -> SshSettings:
    """The settings for ``host``; given values win over the configuration, as on ssh's command line.

    Args:
        default_port: used where neither ``port`` nor the configuration names one.
        config: instead of the user's and the system's configuration files (``ssh -F``).

    Raises:
        UsageError: a host or user that begins with ``-``, a configuration that ssh refuses, a missing ``config``.
    """
    for what, value in (("host", host), ("user", user)):
        if value is not None and (not value or value.startswith("-") or re.search(r"[\s\x00-\x1f\x7f]", value)):
            raise UsageError(f"{value!r} cannot be a {what}", hint="names begin with a letter or a digit")
    if config is not None and str(config) != "none":  # ssh's own word for no configuration at all
        config = config.expanduser().absolute()
        if not _is_file(config):
            raise UsageError(f"no such file: {config}", hint="correct --ssh-config or EDGEKIT_SSH_CONFIG")
    if identity_file is not None and not _is_file(identity_file.expanduser()):
        raise UsageError(f"no such key file: {identity_file}", hint="correct --identity-file or the inventory")
    client = shutil.which("ssh")
    if client:
        options = _asked(client, host, port=port, user=user, default_port=default_port, config=config)
        notices: list[Notice] = []
    else:
        options, notices = _parsed(host, port=port, user=user, default_port=default_port, config=config)
    return _settings(host, options, identity_file, config, notices)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for any file system
        return False


def _asked(
    client: str, host: str, *, port: int | None, user: str | None, default_port: int | None, config: Path | None
) -> Options:
    """What ``ssh -G`` prints. Its own ``-p`` would win over the file, so a default port is asked for after it."""
    argv = [client, "-G"]
    argv += ["-F", str(config)] if config else []
    argv += ["-p", str(port)] if port else []
    argv += ["-l", user] if user else []
    done = _run([*argv, "--", host])
    options = _table(done)
    if port is None and default_port is not None and options.get("port") == ["22"]:
        options["port"] = [str(default_port)]
    return options


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"`{' '.join(argv)}` failed: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "Pseudo-terminal" not in line]
        raise UsageError(
            f"ssh refuses its configuration: {' '.join(lines)[:500]}",
            hint="correct the file that the message names; `ssh -G HOST` shows what ssh reads",
        )
    return done.stdout.decode("utf-8", "replace")


def _table(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key.lower(), []).append(value.strip())
    return found


def _parsed(
    host: str, *, port: int | None, user: str | None, default_port: int | None, config: Path | None
) -> tuple[Options, list[Notice]]:
    """Without an ssh client: paramiko's reader, which knows neither Include nor all of Match."""
    from edgekit.device.transport.paramiko_door import load

    paramiko = load()
    path = config or _home() / ".ssh" / "config"
    table: dict[str, Any] = {"hostname": host}
    if path.is_file():
        try:
            table = paramiko.SSHConfig.from_path(str(path)).lookup(host)
        except (paramiko.SSHException, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error
    options = {key: value if isinstance(value, list) else [str(value)] for key, value in table.items()}
    options["port"] = [str(port or options.get("port", [default_port or 22])[0])]
    options["user"] = [user or options.get("user", [_me()])[0]]
    if "identityfile" not in options:
        options["identityfile"] = [f"~/.ssh/{name}" for name in ("id_rsa", "id_ecdsa", "id_ed25519")]
    options.setdefault("userknownhostsfile", ["~/.ssh/known_hosts ~/.ssh/known_hosts2"])
    options.setdefault("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"])
    message = f"there is no ssh client here: {path} was read without Include and system-wide settings"
    return options, [Notice(code="no-ssh-client", message=message, hint="install openssh-client")]


def _settings(
    host: str, options: Options, identity_file: Path | None, config: Path | None, notices: list[Notice]
) -> SshSettings:
    def one(key: str) -> str | None:
        value = options.get(key, [""])[0]
        return value if value and value.lower() != "none" else None

    hostname, user = one("hostname") or host, one("user") or _me()
    if hostname.startswith("-") or user.startswith("-"):
        raise UsageError(f"{host}: the ssh configuration gives a host or user that begins with '-'")
    port = int(one("port") or 22)
    tokens = {
        "%": "%",
        "h": hostname,
        "n": host,
        "p": str(port),
        "r": user,
        "d": str(_home()),
        "i": str(os.getuid()),
        "u": _me(),
        "l": socket.gethostname(),
        "L": socket.gethostname().partition(".")[0],
        "k": one("hostkeyalias") or host,
    }
    for key, message in _NOT_DONE.items():
        if one(key):
            notices.append(Notice(code=f"ssh-{key}", message=f"{host}: {message}", hint=""))
    if (one("stricthostkeychecking") or "").lower() in ("no", "off", "false", "accept-new"):
        text = f"{host}: StrictHostKeyChecking is not followed: host keys are always checked"
        notices.append(Notice(code="ssh-stricthostkeychecking", message=text))
    identities = [_expanded(value, tokens) for value in options.get("identityfile", []) if value.lower() != "none"]
    certificates = [_expanded(value, tokens) for value in options.get("certificatefile", []) if value.lower() != "none"]
    proxy = one("proxycommand")
    return SshSettings(
        alias=host,
        hostname=hostname,
        port=port,
        user=user,
        identity_files=(identity_file.expanduser().absolute(),) if identity_file else tuple(map(Path, identities)),
        certificate_files=tuple(map(Path, certificates)),
        # a key named with -i is the one to use: ssh would go through the agent's keys first
        identities_only=identity_file is not None or (one("identitiesonly") or "no") in ("yes", "true"),
        identity_agent=_agent(options, tokens),
        public_keys=(one("pubkeyauthentication") or "yes") not in ("no", "false"),
        passwords="yes" in (one("passwordauthentication") or "yes", one("kbdinteractiveauthentication") or "yes"),
        known_hosts=_files(options, ("userknownhostsfile", "globalknownhostsfile"), tokens),
        host_key_alias=one("hostkeyalias"),
        revoked_host_keys=Path(_expanded(revoked, tokens)) if (revoked := one("revokedhostkeys")) else None,
        jumps=tuple(jump.strip() for jump in (one("proxyjump") or "").split(",") if jump.strip()),
        proxy_command=_tokens(proxy, tokens) if proxy else None,
        bind_address=one("bindaddress"),
        family=one("addressfamily") or "any",
        connect_timeout_s=float(limit) if (limit := one("connecttimeout")) and limit.isdigit() else None,
        config=config,
        notices=tuple(notices),
    )


def _agent(options: Options, tokens: Mapping[str, str]) -> str | None:
    """The agent's socket: IdentityAgent, which may name a variable, else ``SSH_AUTH_SOCK``."""
    value = options.get("identityagent", ["SSH_AUTH_SOCK"])[0]
    if value.lower() == "none":
        return None
    if value == "SSH_AUTH_SOCK" or value.startswith("$"):
        return os.environ.get(value.removeprefix("$").strip("{}")) or None
    return _expanded(value, tokens)


def _files(options: Options, keys: Sequence[str], tokens: Mapping[str, str]) -> tuple[Path, ...]:
    """Lists of files in one line. ssh drops the quotes around blanks, so a part that is no path belongs to the last."""
    found: list[str] = []
    for key in keys:
        start = len(found)
        for part in options.get(key, [""])[0].split(" "):
            if part.startswith(("/", "~", "%", "$")) or len(found) == start:
                found.append(part)
            else:
                found[-1] += f" {part}"
    return tuple(Path(_expanded(name, tokens)) for name in found if name and name.lower() != "none")


def _expanded(text: str, tokens: Mapping[str, str]) -> str:
    """A path with ``%`` tokens, ``${VARIABLES}`` and ``~`` replaced; OpenSSH's ``~`` is the password file's."""
    text = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), _tokens(text.strip('"'), tokens))
    if text.startswith("~/"):
        return str(_home() / text[2:])
    return str(Path(text).expanduser().absolute())


def _tokens(text: str, tokens: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in tokens:
            raise UsageError(f"the ssh configuration uses {found[0]} in {text!r}, which edgekit does not know")
        return tokens[found[1]]

    return re.sub(r"%(.)", value, text)


def _me() -> str:
    """Our own user name; the number where it has none, as in some containers."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _home() -> Path:
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.home()
