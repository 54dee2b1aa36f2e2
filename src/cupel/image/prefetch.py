"""What jobs will fetch is fetched while the image is built, and found there without a network."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from cupel.config.image import ImageConfig, PrefetchConfig

ROOT = "/var/cache/cupel"
_BACKENDS = ("setuptools", "wheel")
"""What nearly every project without a wheel is built with."""

_PIP = """\
command -v pip3 >/dev/null || {{
  echo 'prefetch of pip: the image has no pip3; add the package python3-pip' >&2; exit 1
}}
mkdir -p {root}/pip
printf '%s\\n' {requirements} > /tmp/requirements.txt
pip3 wheel --no-cache-dir --disable-pip-version-check --progress-bar off \\
  --wheel-dir {root}/pip -r /tmp/requirements.txt
pip3 config --quiet --global set global.find-links {root}/pip
rm -f /tmp/requirements.txt
"""

_NPM = """\
command -v npm >/dev/null || {{
  echo 'prefetch of npm: the image has no npm; add the packages nodejs and npm' >&2; exit 1
}}
npm config set --global cache {root}/npm
mkdir /tmp/npm && cd /tmp/npm && echo '{{}}' > package.json
npm install --no-audit --no-fund --ignore-scripts --no-update-notifier --loglevel=warn {packages}
cd / && rm -rf /tmp/npm {root}/npm/_cacache/tmp
rm -rf {root}/npm/_logs {root}/npm/_update-notifier-last-checked
"""

# npm notes in its cache when it fetched what, and the answer's whole head: no two builds the same.
# The index has a line for each entry: a hash of the JSON after it, a tab, the JSON.
_NPM_EVEN = r"""
const fs = require('fs'), path = require('path'), crypto = require('crypto');
const kept = ['content-type', 'content-encoding'];
const walk = (at) => fs.readdirSync(at, {withFileTypes: true}).flatMap(
  (e) => e.isDirectory() ? walk(path.join(at, e.name)) : [path.join(at, e.name)]);
for (const file of walk(process.argv[1])) {
  const lines = new Map();
  for (const line of fs.readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const entry = JSON.parse(line.split('\t')[1]);
    entry.time = 0;
    if (entry.metadata) {
      entry.metadata.time = 0;
      const heads = entry.metadata.resHeaders || {};
      entry.metadata.resHeaders = Object.fromEntries(
        Object.entries(heads).filter(([name]) => kept.includes(name)));
    }
    lines.set(entry.key, JSON.stringify(entry));
  }
  fs.writeFileSync(file, [...lines.keys()].sort().map((key) => {
    const text = lines.get(key);
    return '\n' + crypto.createHash('sha1').update(text).digest('hex') + '\t' + text;
  }).join(''));
}
"""

_APT = """\
command -v apt-get >/dev/null || {{ echo 'prefetch of apt: the image has no apt-get' >&2; exit 1; }}
apt-get update -qq
mkdir -p {root}/apt/partial
apt-get install -y -qq --download-only --no-install-recommends \\
  -o Dir::Cache::archives={root}/apt {packages}
rm -rf {root}/apt/partial {root}/apt/lock
cd {root}/apt
for deb in *.deb; do
  dpkg-deb -f "$deb"
  printf 'Filename: ./%s\\nSize: %s\\n' "$deb" "$(stat -c %s "$deb")"
  printf 'SHA256: %s\\n\\n' "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
# Without it apt asks for lists in every language and every way of packing, one after the other.
printf 'Date: Wed, 01 Jan 2020 00:00:00 UTC\nSHA256:\n %s %s Packages\n' \
  "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" > Release
cd /
echo 'deb [trusted=yes] file:{root}/apt ./' > /etc/apt/sources.list.d/cupel.list
rm -rf /var/lib/apt/lists/*
apt-get update -qq -o Dir::Etc::sourceparts=- \\
  -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/cupel.list
"""

_GIT = """\
command -v git >/dev/null || {{ echo 'prefetch of git: the image has no git' >&2; exit 1; }}
git clone --quiet --mirror {url} {mirror}
rm -rf {mirror}/hooks {mirror}/FETCH_HEAD
git -C {mirror} -c pack.threads=1 repack -a -d -f -q --no-write-bitmap-index
git config --system --add url.file://{mirror}.insteadOf {url}
git config --system --add safe.directory {mirror}
"""


def scripts(prefetch: PrefetchConfig) -> Iterator[tuple[str, str]]:
    """What to run, in order: a name for people and a script."""
    if prefetch.apt:
        yield "apt archives", _APT.format(root=ROOT, packages=shlex.join(prefetch.apt))
    if prefetch.pip:
        wanted = shlex.join((*prefetch.pip, *_BACKENDS))
        yield "wheels", _PIP.format(root=ROOT, requirements=wanted)
    if prefetch.npm:
        even = f"node -e {shlex.quote(_NPM_EVEN)} {ROOT}/npm/_cacache/index-v5\n"
        yield "npm packages", _NPM.format(root=ROOT, packages=shlex.join(prefetch.npm)) + even
    for url, mirror in zip(prefetch.git, _mirrors(prefetch.git), strict=True):
        yield url, _GIT.format(url=shlex.quote(url), mirror=shlex.quote(mirror))


def _mirrors(urls: tuple[str, ...]) -> Iterator[str]:
    for number, url in enumerate(urls):
        name = PurePosixPath(url).name.removesuffix(".git") or "repository"
        yield f"{ROOT}/git/{number}-{name}.git"


def offline(image: ImageConfig) -> Mapping[str, str]:
    """What the environment of a machine without a network says, so that tools ask nobody first."""
    env: dict[str, str] = {}
    if image.prefetch.pip:
        env["PIP_NO_INDEX"] = "1"
    if image.prefetch.npm:
        env["NPM_CONFIG_OFFLINE"] = "true"
    return env
