"""Debian's packages for another architecture, by an apt state of our own: the machine's apt is only read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from host import BoardError, program, run, say

KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
#: of the unpacked packages: what no program reads
EXCLUDED = ("doc", "man", "info", "locale", "lintian", "bash-completion", "perl", "perl5", "zoneinfo", "i18n")


def mirror_of(uris: str, suite: str) -> tuple[str | None, str | None]:
    """The mirror and the security mirror (None: not there) among what ``apt-get update --print-uris`` prints.

    Others serve folders named ``debian`` too (a container engine's repository, say); Debian's own has ``-updates``.
    """
    found = re.findall(r"^'(\S+?)/*/dists/([^/\s]+)/InRelease'", uris, re.MULTILINE)
    bases = [base for base, _ in found if re.search(r"/debian(\.list)?$", base)]
    with_updates = [base for base, name in found if base in bases and name.endswith("-updates")]
    security = [base for base, _ in found if re.search(r"/debian-security(\.list)?$", base)]
    exact = [base for base, name in found if base in with_updates and name == suite]
    return next(iter(exact + with_updates + bases), None), next(iter(security), None)


def own_settings() -> str:
    """How this machine's apt reaches its mirror (proxies, retries, certificates), as apt.conf text."""
    dump = run(["apt-config", "dump"]).splitlines()
    wanted = re.compile(r"Acquire::(https?|ftp|tor|Retries|Check-|ForceIPv|Queue-Mode)")
    return "\n".join(line for line in dump if wanted.match(line))


class PrivateApt:
    """An apt whose sources, lists and cache are under one folder."""

    def __init__(self, folder: Path, *, suite: str, architecture: str, mirror: str | None) -> None:
        self._folder = folder
        self._suite = suite
        for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "lists/partial", "archives/partial", "dpkg"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "dpkg" / "status").touch()
        configuration = folder / "apt.conf"
        configuration.write_text(
            f'{own_settings()}\nDir "{folder}";\nDir::State "{folder}";\nDir::Cache "{folder}";\n'
            f'Dir::State::status "{folder}/dpkg/status";\nDir::Bin::methods "/usr/lib/apt/methods";\n'
            f'APT::Architecture "{architecture}";\nAPT::Architectures {{ "{architecture}"; }};\n'
            # apt's own user cannot write in a home folder
            'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\nAcquire::Languages "none";\n'
        )
        self._environment = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}
        self._update(mirror)

    def _update(self, mirror: str | None) -> None:
        security = None
        if mirror is None:
            mirror, security = mirror_of(run(["apt-get", "update", "--print-uris"]), self._suite)
        if mirror is None:
            raise BoardError(
                "this machine's apt has no Debian mirror",
                hint="name one: python tools/board start --mirror URL (the folder that contains dists/)",
                exit_code=2,
            )
        rings = [ring for ring in (Path("/usr/share/keyrings") / name for name in KEYRINGS) if ring.exists()]
        if not rings:
            raise BoardError(
                "Debian's archive keys are missing", hint="sudo apt-get install debian-archive-keyring", exit_code=3
            )
        self._main = f"deb [signed-by={rings[0]}] {mirror} {self._suite} main\n"
        extra = f"deb [signed-by={rings[0]}] {security} {self._suite}-security main\n" if security else ""
        self._sources = self._folder / "etc" / "apt" / "sources.list"
        self._sources.write_text(self._main + extra)
        try:
            self._apt("update", "--error-on=any")
        except BoardError as error:
            if not self._without_security(error):
                raise BoardError(f"{error}", hint="is the mirror reachable? another one: --mirror URL") from error

    def _without_security(self, error: BoardError) -> bool:
        """Goes on without the security mirror, which may lag behind its own index; False: it was not used."""
        if self._sources.read_text() == self._main:
            return False
        say(f"the security mirror did not answer well, going on without it: {error}")
        self._sources.write_text(self._main)
        self._apt("update", "--error-on=any")
        return True

    def _apt(self, *arguments: str) -> str:
        return run(["apt-get", "-qq", "-o", "Acquire::Retries=2", *arguments], environment=self._environment)

    def fetch(self, names: Sequence[str], folder: Path) -> list[Path]:
        """The verified .deb files of these packages and of all that they depend on."""
        return self._fetch(lambda: self._closure(names), folder)

    def fetch_dependency(self, name: str, pattern: str, folder: Path) -> Path:
        """The .deb file of the first package that ``name`` depends on whose name matches the regular expression."""
        return self._fetch(lambda: [self._dependency(name, pattern)], folder)[0]

    def _closure(self, names: Sequence[str]) -> list[str]:
        """``name=version`` of each."""
        plan = self._apt("--simulate", "install", *names)
        return [f"{name}={version}" for name, version in re.findall(r"^Inst (\S+) \((\S+)", plan, re.MULTILINE)]

    def _dependency(self, name: str, pattern: str) -> str:
        text = run(["apt-cache", "depends", name], environment=self._environment)
        found = re.search(rf"Depends: ({pattern}\S*)", text)
        if found is None:
            raise BoardError(f"the package {name} depends on nothing like {pattern}")
        return found[1]

    def _fetch(self, choose: Callable[[], list[str]], folder: Path) -> list[Path]:
        try:
            return self._download(choose(), folder)
        except BoardError as error:
            if not self._without_security(error):
                raise
            shutil.rmtree(folder, ignore_errors=True)
            return self._download(choose(), folder)

    def _download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        folder.mkdir(parents=True)
        command = [program("apt-get"), "-qq", "-o", "Acquire::Retries=2", "download", *packages]
        done = subprocess.run(command, cwd=folder, env=self._environment, capture_output=True, text=True)
        files = sorted(folder.glob("*.deb"))
        if done.returncode != 0 or len(files) != len(packages):
            raise BoardError(f"apt-get download fetched {len(files)} of {len(packages)}: {done.stderr.strip()[-800:]}")
        return files


def unpack(package: Path, root: Path) -> None:
    """Its files under ``root``, no maintainer script; links to folders (/bin → usr/bin) are kept as links."""
    excluded = [f"--exclude=./usr/share/{name}/*" for name in EXCLUDED] + ["--exclude=./usr/lib/*/perl*"]
    with subprocess.Popen([program("dpkg-deb"), "--fsys-tarfile", package], stdout=subprocess.PIPE) as reader:
        tar = ["tar", "-xp", "--keep-directory-symlink", "--numeric-owner", *excluded, "-C", str(root)]
        done = subprocess.run([program("tar"), *tar[1:]], stdin=reader.stdout, capture_output=True, text=True)
    if reader.returncode != 0 or done.returncode != 0:
        raise BoardError(f"cannot unpack {package.name}: {done.stderr.strip()[-400:]}")
