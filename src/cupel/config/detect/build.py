"""Build tools that test what they build: cargo, go, Maven, Gradle, meson, CMake, make; and tmt."""

from __future__ import annotations

from cupel.config.detect.choice import VENV, Choice, Part, Repository

MARKERS = (
    "Cargo.toml",
    "go.mod",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "meson.build",
    "CMakeLists.txt",
    "Makefile",
    "GNUmakefile",
    "makefile",
)

BUILD = "/tmp/build"  # noqa: S108 - in the job's machine, which nobody else uses

_RESULTS = "Results in $CUPEL_RESULTS are shown test by test."


def cargo(repository: Repository) -> Choice | None:
    if "Cargo.toml" not in repository.paths:
        return None
    locked = " --locked" if "Cargo.lock" in repository.paths else ""
    return Choice(
        "test",
        (Part(f"cargo test{locked}"),),
        "Cargo.toml is there",
        packages=("cargo", "rustc", "gcc", "libc6-dev"),
        lacks="cargo --version",
        caches=("~/.cargo/registry",),
    )


def go(repository: Repository) -> Choice | None:
    if "go.mod" not in repository.paths:
        return None
    json = "$CUPEL_RESULTS/go-test.json"
    run = f"go test -json ./... > {json} || {{ grep -h '\"Output\"' {json}; exit 1; }}"
    return Choice(
        "test",
        (Part("go vet ./..."), Part(run, _RESULTS, "test")),
        "go.mod is there",
        packages=("golang-go", "gcc", "libc6-dev"),
        lacks="go version",
        caches=("~/go/pkg/mod",),
    )


def maven(repository: Repository) -> Choice | None:
    if "pom.xml" not in repository.paths:
        return None
    own = "mvnw" in repository.paths
    command = "sh ./mvnw" if own else "mvn"
    return Choice(
        "test",
        (
            Part(
                _collecting("target/surefire-reports", f"{command} -B -ntp verify"),
                _RESULTS,
                "verify",
            ),
        ),
        "pom.xml is there",
        packages=("default-jdk-headless",) if own else ("maven", "default-jdk-headless"),
        lacks="javac -version" if own else "mvn --version",
        caches=("~/.m2/repository",),
    )


def gradle(repository: Repository) -> Choice | None:
    """Only with the wrapper: Debian's own Gradle is too old for the builds of today."""
    built = repository.first("build.gradle", "build.gradle.kts")
    if built is None or "gradlew" not in repository.paths:
        return None
    return Choice(
        "test",
        (
            Part(
                _collecting("build/test-results", "sh ./gradlew --no-daemon test"), _RESULTS, "test"
            ),
        ),
        f"{built} and gradlew are there",
        packages=("default-jdk-headless",),
        lacks="javac -version",
        caches=("~/.gradle/caches",),
    )


def _collecting(directory: str, command: str) -> str:
    """The command; what it leaves as JUnit is copied whether it passes or fails."""
    found = f"find . -path '*/{directory}/*.xml' -exec cp -t $CUPEL_RESULTS {{}} +"
    return f'trap "{found}" EXIT\n{command}\n'


def meson(repository: Repository) -> Choice | None:
    if "meson.build" not in repository.paths:
        return None
    junit = f"cp {BUILD}/meson-logs/testlog.junit.xml $CUPEL_RESULTS/meson.xml"
    parts = (
        Part(f"meson setup {BUILD}"),
        Part(f"trap '{junit}' EXIT\nmeson test -C {BUILD} --print-errorlogs\n", _RESULTS, "test"),
    )
    packages = ("meson", "ninja-build", "gcc", "g++", "pkg-config")
    return Choice(
        "test", parts, "meson.build is there", False, packages, "meson --version && cc --version"
    )


def cmake(repository: Repository) -> Choice | None:
    if "CMakeLists.txt" not in repository.paths:
        return None
    parts = [Part(f"cmake -S . -B {BUILD}"), Part(f'cmake --build {BUILD} -j "$(nproc)"')]
    why = "CMakeLists.txt is there"
    if repository.has(r"^\s*(?:enable_testing|include\s*\(\s*CTest)", "CMakeLists.txt"):
        junit = "--output-junit $CUPEL_RESULTS/ctest.xml"
        run = f"ctest --test-dir {BUILD} --output-on-failure {junit}"
        parts.append(Part(run, _RESULTS, "test"))
        why = "CMakeLists.txt has tests"
    packages = ("cmake", "make", "gcc", "g++")
    return Choice("test", tuple(parts), why, False, packages, "cmake --version && c++ --version")


def make(repository: Repository) -> Choice | None:
    for path in ("GNUmakefile", "makefile", "Makefile"):
        for target in ("check", "test"):
            rule = rf"^(?:[\w.-]+ +)*{target}(?: +[\w.-]+)* *::?(?![=])"
            if repository.has(rule, path):
                why = f"{path} has the target “{target}”"
                return Choice(target, (Part(f"make {target}"),), why, fetches=False)
    return None


def tmt(repository: Repository) -> Choice | None:
    """Plans of the Test Management Tool; without a provisioner, since the machine is one."""
    if ".fmf/version" not in repository.paths:
        return None
    run = (
        f"{VENV}/bin/tmt --feeling-safe run --all provision --how local "
        "report --how junit --file $CUPEL_RESULTS/tmt.xml"
    )
    parts = (
        Part(f"python3 -m venv {VENV}"),
        Part(f"{VENV}/bin/pip install 'tmt[report-junit]'"),
        Part(run, _RESULTS, "tmt"),
    )
    return Choice(
        "tmt", parts, ".fmf/version is there", packages=("rsync",), lacks="rsync --version"
    )
