# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: what each word changes, where each line goes, and how it ends."""

from __future__ import annotations

import errno
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command

from admix import __version__, cache, cli, errors, plots, results, scenario, simulate
from admix.cli_process import execute
from admix.cli_run import size

COMMANDS = (
    "", "run", "predict", "infer", "sensitivity", "dfe", "dfe list", "dfe show", "report", "plot", "compare",
    "explain", "scenarios",
    "scenarios show", "cache", "cache list", "cache clear",
    "sweep", "sweep plan", "sweep run", "sweep status", "sweep task", "sweep collect",
    "sweep cancel", "sweep history",
)  # fmt: skip
RUN_OPTIONS = (
    "--scenario -s --seed --replicates --burnins --burnin --generations --start --threads -o --out -f --force"
    " --set --twin --cache-dir --scale -n --dry-run -v --verbose -q --quiet"
).split()


class Screen:
    """Run a command and keep what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, *args: str) -> int:
        self.capsys.readouterr()
        code = execute(cli.app, args)
        self.out, self.err = self.capsys.readouterr()
        return code


@pytest.fixture
def admix(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Screen:
    """Commands in an empty directory, with an empty cache."""
    for name in ("ADMIX_DEBUG", "ADMIX_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return Screen(capsys)


class Calls:
    """Stand-in for the simulation: notes what it was asked for."""

    def __init__(self) -> None:
        self.scenario: Any = None
        self.options: Any = None
        self.during: Callable[[Any], None] = lambda progress: None

    def run(self, scenario: Any, options: Any, progress: Any) -> Path:
        self.scenario, self.options = scenario, options
        self.during(progress)
        (options.out / "figures").mkdir(parents=True)
        return Path(options.out)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The simulation replaced by something that takes no time; the run directory by two lines of text."""
    fake = Calls()
    monkeypatch.setattr(simulate, "run", fake.run)
    monkeypatch.setattr(results, "read_run", lambda path: SimpleNamespace(path=path, summary={"figure": 1}))
    monkeypatch.setattr(results, "screen_table", lambda figures: "generation  p10\n1           10.00\n")
    monkeypatch.setattr(results, "answer", lambda figures: "Ten per cent became two.")
    return fake


def one_line(text: str) -> str:
    """Return the only line of ``text``, having checked that it is an ordinary error line."""
    assert text.startswith("admix: ") and text.endswith("\n") and text.count("\n") == 1, text
    assert not re.search(r"Traceback|[╭│╰\x1b]", text)
    return text[len("admix: ") : -1]


# ---- help ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text_with_an_example(admix: Screen, command: str) -> None:
    assert admix(*command.split(), "--help") == 0
    assert admix.err == ""
    assert re.search(r"Example[^:]*:\s+admix ", admix.out)
    long = admix.out
    assert admix(*command.split(), "-h") == 0
    assert admix.out == long


@pytest.mark.parametrize("option", RUN_OPTIONS)
def test_every_option_of_run_is_explained(admix: Screen, option: str) -> None:
    admix("run", "--help")
    options = admix.out.split("Options:")[1]
    assert re.search(rf"(?m)^  (-\w, )?{option}[ ,]", options)


def test_the_help_of_run_states_the_defaults(admix: Screen) -> None:
    admix("run", "--help")
    text = " ".join(admix.out.split())
    # a line may end at the hyphen
    assert "[default: runs/NAME-sSEED in the current directory]" in text.replace("NAME- ", "NAME-")
    assert "[env var: ADMIX_CACHE]" in text


def test_the_help_of_plot_names_every_figure(admix: Screen) -> None:
    admix("plot", "--help")
    found = re.search(r"Draw only this one: ([^.]*)\.\s+\[default", " ".join(admix.out.split()))
    assert found is not None
    assert re.split(", | or ", found[1]) == list(plots.FIGURES)


def test_no_arguments_print_the_help(admix: Screen) -> None:
    assert admix() == 0
    assert all(command in admix.out for command in ("run", "plot", "scenarios", "cache"))


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(admix: Screen, flag: str) -> None:
    assert admix(flag) == 0
    assert admix.out == f"admix {__version__}\n"


def test_a_shell_is_told_how_words_end() -> None:
    code = "import sys; sys.argv = ['admix']; from admix.cli import main; main()"
    asked = {"_ADMIX_COMPLETE": "complete_bash", "COMP_WORDS": "admix re", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )
    assert done.stdout.split() == ["report", "recapitate"]
    assert done.stderr == ""


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    heavy = {"numba", "numpy", "pandas", "matplotlib", "msprime", "demes", "scipy", "rich.progress"}
    code = (
        "import sys; from admix import cli, cli_process; cli_process.execute(cli.app, ['--help']);"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        # processor time, so that other tests at work don't count
        begin = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime)
        assert done.stdout.splitlines()[-1] == "[]"
    assert min(seconds) < 0.5


# ---- run: every option changes the call ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--seed", "7"], "seed", 7),
        (["-s", "4294967295"], "seed", 4294967295),
        (["--replicates", "3"], "replicates", 3),
        (["--replicates", "3", "--burnins", "2"], "burnins", 2),
        (["--burnin", "4"], "burnin", 4),
        (["--burnin", "0"], "burnin", 0),
        (["--generations", "100"], "generations", 100),
        (["--start", "forward"], "start", "forward"),
        (["--start", "stationary"], "start", "stationary"),
        (["--threads", "2"], "threads", 2),
        (["--out", "there"], "out", Path("there")),
        (["-o", "there"], "out", Path("there")),
        (["--seed", "9"], "out", Path("runs/tiny-s9")),
        (["--force"], "force", True),
        (["-f"], "force", True),
        (["--twin", "neutral"], "twin", "neutral"),
        (["--cache-dir", "kept"], "cache_dir", Path("kept")),
    ],
)
def test_an_option_changes_the_call(admix: Screen, calls: Calls, words: list[str], name: str, value: object) -> None:
    assert admix("run", "--scenario", "tiny", "--out", "plain") == 0
    assert getattr(calls.options, name) != value
    assert admix("run", "--scenario", "tiny", *words) == 0, admix.err
    assert getattr(calls.options, name) == value


def test_the_defaults(admix: Screen, calls: Calls) -> None:
    assert admix("run", "--scenario", "tiny") == 0
    expected = {"seed": 1, "replicates": 1, "burnins": 1, "burnin": None, "generations": None, "start": None}
    expected |= {
        "threads": None,
        "out": Path("runs/tiny-s1"),
        "force": False,
        "twin": None,
        "cache_dir": None,
    }
    assert {name: getattr(calls.options, name) for name in expected} == expected


def test_scenario_by_name_and_by_file(admix: Screen, calls: Calls) -> None:
    assert admix("run", "--scenario", "reich") == 0
    assert calls.scenario.name == "reich"
    text = scenario.load("tiny").to_yaml().replace("name: tiny", "name: mine")
    Path("mine.yaml").write_text(text, encoding="utf-8")
    assert admix("run", "--scenario", "mine.yaml") == 0
    assert calls.scenario.name == "mine"
    assert calls.options.out == Path("runs/mine-s1")


def test_set_changes_the_scenario_and_may_be_repeated(admix: Screen, calls: Calls) -> None:
    assert admix("run", "--scenario", "tiny") == 0
    before = calls.scenario
    words = ["--set", "selection.mutation_rate=3e-9", "--set", "pulse[0].unit=gametes"]
    assert admix("run", "--scenario", "tiny", "-o", "b", *words) == 0, admix.err
    assert before.selection.mutation_rate != 3e-9 and calls.scenario.selection.mutation_rate == 3e-9
    assert before.pulse[0].unit != "gametes" and calls.scenario.pulse[0].unit == "gametes"


def test_cache_directory_from_the_environment(admix: Screen, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIX_CACHE", "from-environment")
    assert admix("run", "--scenario", "tiny") == 0
    assert calls.options.cache_dir == Path("from-environment")
    assert admix("run", "--scenario", "tiny", "-o", "b", "--cache-dir", "from-option") == 0
    assert calls.options.cache_dir == Path("from-option")


def test_the_run_block_of_a_file_gives_defaults_that_options_overrule(admix: Screen, calls: Calls) -> None:
    text = scenario.load("tiny").to_yaml()
    text = re.sub(r"(?ms)^run:.*?(?=^\S|\Z)", "", text)
    block = "run: {seed: 8, replicates: 4, burnins: 2, generations: 30, start: forward, twin: neutral}\n"
    Path("again.yaml").write_text(text + block, encoding="utf-8")
    assert admix("run", "--scenario", "again.yaml") == 0, admix.err
    expected = {
        "seed": 8,
        "replicates": 4,
        "burnins": 2,
        "generations": 30,
        "start": "forward",
        "twin": "neutral",
    }
    assert {name: getattr(calls.options, name) for name in expected} == expected
    assert calls.options.out == Path("runs/tiny-s8")
    assert admix("run", "--scenario", "again.yaml", "-s", "9", "--replicates", "2", "--start", "stationary") == 0
    assert (calls.options.seed, calls.options.replicates, calls.options.burnins) == (9, 2, 2)
    assert (calls.options.start, calls.options.generations) == ("stationary", 30)
    assert admix("run", "--scenario", "again.yaml", "--twin", "none", "-o", "t") == 0
    assert calls.options.twin is None
    assert admix("run", "--scenario", "again.yaml", "--burnin", "3", "-o", "c") == 0
    assert (calls.options.burnin, calls.options.burnins) == (3, 1)
    assert admix("run", "--scenario", "again.yaml", "--replicates", "1") == 2
    assert one_line(admix.err) == "--burnins: got 2; allowed: at most the number of replicates, which is 1"


def test_a_seed_in_a_file_has_the_same_limits(admix: Screen, calls: Calls) -> None:
    largest = scenario.load("tiny").with_run(seed=2**32 - 1).to_yaml()
    Path("big.yaml").write_text(largest, encoding="utf-8")
    assert admix("run", "--scenario", "big.yaml") == 0
    Path("bigger.yaml").write_text(largest.replace("4294967295", "4294967296"), encoding="utf-8")
    assert admix("run", "--scenario", "bigger.yaml") == 2
    assert re.fullmatch(r"run\.seed: got 4294967296; allowed: .*", one_line(admix.err))


@pytest.mark.parametrize("scale", ["1", "1.0"])
def test_scale_one_is_what_happens_anyway(admix: Screen, calls: Calls, scale: str) -> None:
    assert admix("run", "--scenario", "tiny", "--scale", scale) == 0


@pytest.mark.parametrize("scale", ["10", "0.5", "0", "nan", "ten"])
def test_another_scale_is_refused_with_the_reason(admix: Screen, calls: Calls, scale: str) -> None:
    assert admix("run", "--scenario", "tiny", "--scale", scale) == 2
    line = one_line(admix.err)
    assert line.startswith(f"--scale: got '{scale}'; allowed: 1 only: ")
    assert "load becomes Q times too large" in line and "assortment of whole chromosomes" in line
    assert calls.options is None


# ---- run: what is printed ------------------------------------------------------------------------------


def test_after_a_run_the_table_the_answer_and_the_pictures(admix: Screen, calls: Calls) -> None:
    assert admix("run", "--scenario", "tiny") == 0
    assert admix.out == (
        "generation  p10\n1           10.00\n\nTen per cent became two.\n\n"
        "Pictures: runs/tiny-s1/figures\nTables:   runs/tiny-s1\n"
    )
    assert admix.err == ""


def speak(progress: Any) -> None:
    """Be a simulation that says something in every way there is."""
    progress.say("from the progress")
    logger = logging.getLogger("admix.engine")
    logger.debug("a debug record")
    logger.info("an info record")
    logger.warning("a warning record")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("a Python\nwarning", RuntimeWarning, stacklevel=1)


SAID = "from the progress"
WARNED = ["warning: a warning record", "warning: a Python warning"]


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        ([], [SAID, *WARNED]),
        (["-v"], [SAID, "an info record", *WARNED]),
        (["--verbose"], [SAID, "an info record", *WARNED]),
        (["-vv"], [SAID, "a debug record", "an info record", *WARNED]),
        (["-q"], []),
        (["--quiet"], []),
    ],
)
def test_verbosity_changes_standard_error_only(admix: Screen, calls: Calls, words: list[str], heard: list[str]) -> None:
    calls.during = speak
    assert admix("run", "--scenario", "tiny", *words) == 0
    assert [line.removeprefix("admix: ") for line in admix.err.splitlines()] == heard
    assert admix.out.startswith("generation  p10\n") and "record" not in admix.out


def test_logging_is_left_as_it_was(admix: Screen, calls: Calls) -> None:
    logger = logging.getLogger("admix")
    before = (logger.level, list(logger.handlers), warnings.showwarning, signal.getsignal(signal.SIGTERM))
    calls.during = speak
    admix("run", "--scenario", "tiny", "-vv")
    assert before == (
        logger.level,
        list(logger.handlers),
        warnings.showwarning,
        signal.getsignal(signal.SIGTERM),
    )


def test_quiet_silences_the_progress(admix: Screen, calls: Calls) -> None:
    def slow(progress: Any) -> None:
        progress.plan([("work", 100.0)])
        progress.start("work")
        progress._began -= 50
        progress.update("work", 0.5)

    calls.during = slow
    assert admix("run", "--scenario", "tiny") == 0
    assert re.fullmatch(r"50%  work, .* left\n", admix.err)
    assert admix("run", "--scenario", "tiny", "-o", "b", "-q") == 0
    assert admix.err == ""


def test_predict_prints_the_expectation_and_writes_it(admix: Screen) -> None:
    assert admix("predict", "--scenario", "tiny", "--out", "expected.tsv") == 0, admix.err
    assert "Neanderthal share of DNA, %: expected" in admix.out and "p10, p20): S = " in admix.out
    assert "nothing was simulated: independent sites" in admix.out and admix.err == ""
    lines = Path("expected.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t")[:5] == ["branch", "source", "deme", "generation", "years_bp"]
    assert len(lines) == 1 + 2 * 201
    before = admix.out
    assert admix("predict", "--scenario", "tiny", "--set", "selection.mutation_rate=1e-8") == 0
    assert admix.out != before and "Table:" not in admix.out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tiny"], "predict: got 'tiny'; allowed: options only; did you mean --scenario tiny?"),
        ([], "--scenario is missing: allowed: a name that 'admix scenarios' lists, or a YAML file"),
        (
            ["--scenario", "tiny", "--out", "no/where.tsv"],
            "no/where.tsv: cannot be written (No such file or directory)",
        ),
    ],
)
def test_predict_refuses(admix: Screen, words: list[str], line: str) -> None:
    assert admix("predict", *words) == (1 if "--out" in words else 2)
    assert one_line(admix.err) == line


def tree(path: Path) -> list[tuple[str, int, int]]:
    return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in path.rglob("*"))


@pytest.fixture
def estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate that takes no time."""
    known = simulate.Estimate(seconds_first=754.0, seconds_cached=61.0, memory_bytes=2.1e9, disk_bytes=3.5e7, stages=[])
    monkeypatch.setattr(simulate, "estimate", lambda scenario, options: known)


def test_a_dry_run_says_all_and_writes_nothing(
    admix: Screen, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    before = tree(tmp_path)
    assert admix("run", "--scenario", "tiny", "-n", "--set", "selection.mutation_rate=3e-9") == 0, admix.err
    assert tree(tmp_path) == before
    assert calls.options is None
    assert admix.err == ""
    assert re.search(r"(?m)^# +first run +(less than 1|\d+) ", admix.out)
    assert re.search(r"(?m)^# +with history cached +(less than 1|\d+) ", admix.out)
    assert re.search(r"(?m)^# +memory +[\d.]+ [MG]B$", admix.out)
    assert re.search(r"(?m)^# +tick +[\d,]+ .*pulse", admix.out)
    assert re.search(r"(?m)^# Output: runs/tiny-s1$", admix.out)
    # the text is itself a scenario, the one that would have been run
    Path("printed.yaml").write_text(admix.out, encoding="utf-8")
    printed = scenario.load("printed.yaml")
    plain = scenario.load("tiny").with_set(["selection.mutation_rate=3e-9"])
    expected = {"engine": "native", "seed": 1, "replicates": 1, "burnins": 1, "start": plain.start.mode}
    assert printed == plain.with_run(**expected, twin="none", trees=True)


@pytest.mark.usefixtures("estimate")
def test_a_dry_run_shows_the_estimate_in_words(admix: Screen, calls: Calls) -> None:
    assert admix("run", "--scenario", "tiny", "--dry-run") == 0
    assert calls.options is None
    assert admix.out.split("# Estimate\n")[1].splitlines()[:4] == [
        "#   first run               13 min",
        "#   with history cached     1 min 01 s",
        "#   memory                  2.1 GB",
        "#   disk                    35 MB",
    ]


@pytest.mark.usefixtures("estimate")
def test_a_dry_run_shows_each_branch_where_it_differs(admix: Screen) -> None:
    assert admix("run", "--scenario", "reich", "--dry-run") == 0, admix.err
    schedule = admix.out.split("# Schedule\n")[1]
    assert schedule.count("# ") > 5
    assert "branch p10\n" in schedule and "branch p20, where it differs\n" in schedule
    assert schedule.count("share 0.1 ") == schedule.count("share 0.2 ") == 1
    assert schedule.count("for the last time alone") == 1


@pytest.mark.usefixtures("estimate")
def test_a_dry_run_mentions_an_output_that_exists(admix: Screen) -> None:
    Path("there").mkdir()
    assert admix("run", "--scenario", "tiny", "-n", "-o", "there") == 0
    assert "# Output: there (exists: --force would be needed)\n" in admix.out
    assert admix("run", "--scenario", "tiny", "-n", "-o", "there", "-f") == 0
    assert "# Output: there\n" in admix.out


def test_a_real_run_from_the_command_line_to_a_picture(admix: Screen) -> None:
    words = ("run", "--scenario", "tiny", "--generations", "3", "--threads", "1")
    assert admix(*words) == 0, admix.err
    table = admix.out.split("\n\n")[0]
    rows = [line.split() for line in table.splitlines() if re.match(r" +\d", line)]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[0][-2:] == ["10.00", "20.00"]
    assert "[" not in admix.out  # one replicate gives no interval
    assert re.fullmatch(r"[A-Z].*Neanderthal.*\.", admix.out.split("\n\n")[-2])
    assert admix.out.endswith("Pictures: runs/tiny-s1/figures\nTables:   runs/tiny-s1\n")
    assert list(Path("runs/tiny-s1/figures").glob("trajectory.png"))
    assert all(re.match(r"[ \d]\d%  |100%  ", line) for line in admix.err.splitlines()), admix.err

    assert admix(*words) == 2
    assert one_line(admix.err).startswith("--out: got 'runs/tiny-s1'; ")

    assert admix("plot", "runs/tiny-s1", "--figure", "model", "--format", "pdf") == 0, admix.err
    assert admix.out == "runs/tiny-s1/derived/figures/model.pdf\n"
    assert Path("runs/tiny-s1/derived/figures/model.pdf").read_bytes().startswith(b"%PDF")
    assert results.validate_run("runs/tiny-s1") == []


# ---- what is wrong is one line -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "rum",
            f"COMMAND: got 'rum'; allowed: {', '.join(get_command(cli.app).commands)}; did you mean run?",
        ),
        ("scenarios shw", "scenarios COMMAND: got 'shw'; allowed: show; did you mean show?"),
        ("cache lst", "cache COMMAND: got 'lst'; allowed: list, clear; did you mean list?"),
        (
            "run --scenario tiny --sed 3",
            "run OPTION: got '--sed'; allowed: one that 'admix run --help' lists; did you mean --seed?",
        ),
        (
            "run --scenario tiny --replicate=3",
            "run OPTION: got '--replicate'; allowed: one that 'admix run --help' lists; did you mean --replicates?",
        ),
        ("run --qqqqqqq", "run OPTION: got '--qqqqqqq'; allowed: one that 'admix run --help' lists"),
        (
            "--scenario tiny",
            "OPTION: got '--scenario'; allowed: one that 'admix --help' lists; did you mean admix run --scenario?",
        ),
        (
            "--sceario tiny",
            "OPTION: got '--sceario'; allowed: one that 'admix --help' lists; did you mean admix run --scenario?",
        ),
        (
            "--versio",
            "OPTION: got '--versio'; allowed: one that 'admix --help' lists; did you mean --version?",
        ),
        ("run reich", "run: got 'reich'; allowed: options only; did you mean --scenario reich?"),
        ("run reich --scenario tiny", "run: got 'reich'; allowed: options only"),
        ("run", "--scenario is missing: allowed: a name that 'admix scenarios' lists, or a YAML file"),
        ("run --scenario tiny -v -q", "--quiet: allowed: not together with --verbose"),
        ("run --scenario tiny --seed 0", "--seed: got 0; allowed: a whole number from 1 to 4294967295"),
        (
            "run --scenario tiny -s 4294967296",
            "--seed: got 4294967296; allowed: a whole number from 1 to 4294967295",
        ),
        ("run --scenario tiny --seed -1", "--seed: got -1; allowed: a whole number from 1 to 4294967295"),
        ("run --scenario tiny --seed 1e3", "--seed: got '1e3'; allowed: a whole number from 1 to 4294967295"),
        (
            "run --scenario tiny --seed True",
            "--seed: got 'True'; allowed: a whole number from 1 to 4294967295",
        ),
        ("run --scenario tiny --replicates 0", "--replicates: got 0; allowed: a whole number, 1 or more"),
        (
            "run --scenario tiny --replicates 1.5",
            "--replicates: got '1.5'; allowed: a whole number, 1 or more",
        ),
        ("run --scenario tiny --burnins 0", "--burnins: got 0; allowed: a whole number, 1 or more"),
        (
            "run --scenario tiny --burnins 2",
            "--burnins: got 2; allowed: at most the number of replicates, which is 1",
        ),
        ("run --scenario tiny --burnin -1", "--burnin: got -1; allowed: a whole number, 0 or more"),
        (
            "run --scenario tiny --replicates 2 --burnins 2 --burnin 1",
            "--burnin: got 1; allowed: one of --burnin and --burnins, not both",
        ),
        ("run --scenario tiny --generations 0", "--generations: got 0; allowed: a whole number, 1 or more"),
        ("run --scenario tiny --threads 0", "--threads: got 0; allowed: a whole number, 1 or more"),
        (
            "run --scenario tiny --start forwards",
            "--start: got 'forwards'; allowed: forward or stationary; did you mean forward?",
        ),
        (
            "run --scenario tiny --twin neutrl",
            "--twin: got 'neutrl'; allowed: neutral or none; did you mean neutral?",
        ),
        (
            "scenarios show riech",
            f"scenarios show NAME: got 'riech'; allowed: {', '.join(scenario.names())}; did you mean reich?",
        ),
        ("plot runs/x --format pgn", "--format: got 'pgn'; allowed: pdf or svg or png; did you mean png?"),
    ],
)
def test_a_usage_error_is_one_line_and_exit_code_two(admix: Screen, calls: Calls, words: str, line: str) -> None:
    assert admix(*words.split()) == 2
    assert one_line(admix.err) == line
    assert admix.out == ""
    assert calls.options is None
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("run --scenario riech", r".*'riech'.*reich\?"),
        ("run --scenario nowhere.yaml", r".*nowhere\.yaml.*"),
        ("run --scenario tiny --set selection.dominanse=0.1", r".*dominanse.*dominance\?"),
        ("run --scenario tiny --set selection.dominance", r"--set.*"),
        ("run --scenario tiny --seed", r"option '--seed' requires an argument"),
        ("run --scenario tiny --force=3", r"option '--force' does not take a value"),
        ("plot", r"plot: missing argument 'RUN'; see 'admix plot --help'"),
        ("plot a b", r"plot: got unexpected extra argument.*b.*; see 'admix plot --help'"),
        ("scenarios show", r"scenarios show: missing argument 'NAME'; see 'admix scenarios show --help'"),
    ],
)  # fmt: skip
def test_other_wrong_input_is_one_line_too(admix: Screen, calls: Calls, words: str, pattern: str) -> None:
    assert admix(*words.split()) == 2
    assert re.fullmatch(pattern, one_line(admix.err))
    assert calls.options is None


def fail_with(error: BaseException) -> Callable[[Any], None]:
    def fail(progress: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.InputError("pulse[0].share", 1.5, "a share"), 2, "pulse[0].share: got 1.5; allowed: a share"),
        (errors.RunError("here", "disk full", "make room"), 1, "here: disk full; make room"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x"),
            1,
            "/data/x: No space left on device; finished burn-ins are kept: make room and give the same command again",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "runs/tiny-s1: No space left on device; finished burn-ins are kept: make room and give the same"
            " command again",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "/x: Permission denied"),
        (MemoryError(), 1, "not enough memory; admix run --dry-run says how much a run needs"),
        (
            ZeroDivisionError("by\nzero"),
            1,
            "unexpected ZeroDivisionError: by zero; this is a fault in admix: set ADMIX_DEBUG=1 to see where,"
            " and report it",
        ),
    ],
)
def test_a_failed_run_ends_with_one_line(admix: Screen, calls: Calls, error: Exception, code: int, line: str) -> None:
    calls.during = fail_with(error)
    assert admix("run", "--scenario", "tiny") == code
    assert one_line(admix.err) == line
    assert admix.out == ""


@pytest.mark.parametrize("how", ["-vv", "ADMIX_DEBUG"])
def test_a_traceback_only_when_asked_for(
    admix: Screen, calls: Calls, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    calls.during = fail_with(ZeroDivisionError("by zero"))
    words = ["run", "--scenario", "tiny"]
    if how == "-vv":
        words.append(how)
    else:
        monkeypatch.setenv(how, "1")
    assert admix(*words) == 1
    assert "Traceback" in admix.err and ", in fail\n" in admix.err
    assert admix.err.splitlines()[-1] == "admix: unexpected ZeroDivisionError: by zero"
    # and it is not remembered
    monkeypatch.setenv("ADMIX_DEBUG", "0")
    assert admix("run", "--scenario", "tiny") == 1
    one_line(admix.err)


def test_ctrl_c_says_what_is_kept(admix: Screen, calls: Calls, tmp_path: Path) -> None:
    calls.during = fail_with(KeyboardInterrupt())
    assert admix("run", "--scenario", "tiny") == 130
    assert one_line(admix.err) == (
        "interrupted: runs/tiny-s1 was not written; the history simulated so far is kept in"
        f" {tmp_path / 'home-cache' / 'admix'}, and the same command goes on from there"
    )
    assert admix("run", "--scenario", "tiny", "--cache-dir", "kept") == 130
    assert " is kept in kept, " in one_line(admix.err)


def test_ctrl_c_elsewhere(admix: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "entries", fail_with(KeyboardInterrupt()))
    assert admix("cache", "list") == 130
    assert one_line(admix.err) == "interrupted"


WAITING = """
import sys, time
from admix import cli, simulate
def run(scenario, options, progress):
    print("ready", flush=True)
    time.sleep(60)
simulate.run = run
sys.argv = ["admix", "run", "--scenario", "tiny", "--cache-dir", "kept"]
cli.main()
"""


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_the_process_with_its_code(tmp_path: Path, number: int, code: int, word: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert one_line(err).startswith(f"{word}: runs/tiny-s1 was not written; ")
    assert not list(tmp_path.iterdir())


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys; from admix import cli; sys.argv = ['admix', 'run', '--help']; cli.main()"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run([sys.executable, "-c", code], stdout=pipe, stderr=subprocess.PIPE, check=False, text=True)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_output_on_a_full_disk() -> None:
    code = "import sys; from admix import cli; sys.argv = ['admix', '--version']; cli.main()"
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    assert done.returncode == 1
    assert one_line(done.stderr).startswith("standard output: No space left on device")


def test_python_dash_m(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "admix", "run"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2 and done.stdout == ""
    assert one_line(done.stderr).startswith("--scenario is missing")


# ---- the other commands --------------------------------------------------------------------------------


def test_scenarios_lists_name_title_and_question(admix: Screen) -> None:
    assert admix("scenarios") == 0
    lines = admix.out.splitlines()
    names = scenario.names()
    assert len(lines) == 2 * len(names) and {"petr2019", "reich", "tiny"} <= set(names)
    for name, head, question in zip(names, lines[::2], lines[1::2], strict=True):
        assert re.split(r"\s{2,}", head) == [name, scenario.load(name).title]
        assert re.fullmatch(r" +\S.*\?", question)


@pytest.mark.parametrize("name", ["petr2019", "reich", "tiny"])
def test_scenarios_show_prints_yaml_that_can_be_run(admix: Screen, calls: Calls, name: str) -> None:
    assert admix("scenarios", "show", name) == 0
    assert admix.err == ""
    Path("mine.yaml").write_text(admix.out, encoding="utf-8")
    assert admix("run", "--scenario", "mine.yaml") == 0, admix.err
    assert calls.scenario == scenario.load(name)


class Drawn:
    def __init__(self) -> None:
        self.call: dict[str, Any] = {}

    def draw_all(self, run: Any, out_dir: Path, **options: Any) -> list[Path]:
        self.call = {"run": run.path, "out_dir": out_dir, **options}
        return [out_dir / "trajectory.png"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    fake = Drawn()
    monkeypatch.setattr(plots, "draw_all", fake.draw_all)
    monkeypatch.setattr(results, "read_run", lambda path: SimpleNamespace(path=path))
    return fake


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--figure", "trajectory"], "figures", ["trajectory"]),
        (["--format", "pdf"], "formats", ["pdf"]),
        (["--format", "svg"], "formats", ["svg"]),
        (["--format", "png"], "formats", ["png"]),
        (["--style", "talk"], "style", "talk"),
        (["-o", "pictures"], "out_dir", Path("pictures")),
        (["--out", "pictures"], "out_dir", Path("pictures")),
    ],
)
def test_an_option_of_plot_changes_the_call(
    admix: Screen, drawn: Drawn, words: list[str], name: str, value: object
) -> None:
    assert admix("plot", "runs/tiny-s1") == 0
    plain = dict(drawn.call)
    assert plain == {
        "run": "runs/tiny-s1", "out_dir": Path("runs/tiny-s1/derived/figures"), "figures": None,
        "formats": ["png", "svg"], "style": "paper",
    }  # fmt: skip
    assert admix.out == "runs/tiny-s1/derived/figures/trajectory.png\n"
    assert admix("plot", "runs/tiny-s1", *words) == 0
    assert drawn.call == plain | {name: value}


def test_plot_of_an_unknown_figure_or_run(admix: Screen) -> None:
    assert admix("plot", "runs/x", "--figure", "trajectry") == 2
    assert one_line(admix.err).endswith("; did you mean trajectory?")
    assert admix("plot", "runs/x") == 2
    assert "'runs/x'" in one_line(admix.err)


def fill(directory: Path) -> cache.Cache:
    import numpy as np

    store = cache.Cache(directory)
    store.save("a" * 64, {"x": np.zeros(1000)}, {"title": "the archaic lineage"})
    store.save("b" * 64, {"x": np.zeros(10)}, {"title": "the modern lineage"}, checkpoint=True)
    return store


def test_cache_list_and_clear(admix: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Path("kept"))
    assert admix("cache", "list", "--cache-dir", "kept") == 0
    lines = admix.out.splitlines()
    assert re.fullmatch(r"kept: 2 entries, [\d.]+ kB", lines[0])
    assert re.fullmatch(r"  aaaaaaaaaaaa +[\d.]+ kB  the archaic lineage", lines[1])
    assert re.fullmatch(r"  bbbbbbbbbbbb +[\d.]+ (kB|bytes)  the modern lineage \(unfinished\)", lines[2])
    listed = admix.out
    monkeypatch.setenv("ADMIX_CACHE", "kept")
    assert admix("cache") == 0 and admix.out == listed
    assert admix("cache", "clear") == 0
    assert re.fullmatch(r"kept: 2 entries removed, [\d.]+ kB freed\n", admix.out)
    assert admix("cache", "list") == 0
    assert admix.out == "kept: 0 entries, 0 bytes\n"


def test_cache_clear_takes_only_the_directory_it_is_given(admix: Screen, tmp_path: Path) -> None:
    fill(tmp_path / "home-cache" / "admix")
    fill(Path("other"))
    assert admix("cache", "clear", "--cache-dir", "other") == 0
    assert cache.entries(Path("other")) == []
    assert len(cache.entries(tmp_path / "home-cache" / "admix")) == 2
    assert admix("cache", "list") == 0
    assert admix.out.startswith(f"{tmp_path / 'home-cache' / 'admix'}: 2 entries, ")


def test_cache_clear_that_fails_says_so(admix: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Path("kept"))
    monkeypatch.setattr(cache, "clear", lambda directory: 0)
    assert admix("cache", "clear", "--cache-dir", "kept") == 1
    assert one_line(admix.err) == "kept: 2 entries could not be removed; check its permissions"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (2.34e6, "2.34 MB"),
        (4.06e9, "4.1 GB"),
        (1.2e12, "1,200.0 GB"),
    ],
)
def test_size(count: float, text: str) -> None:
    assert size(count) == text
