"""Exercises: an unfinished cell, a check that knows the usual mistakes, hints in steps, and a solution.

    # cell with the tags ["exercise", "exercise-q_step"]
    def my_q_step(x, beta, eps):
        ...                                    # `...`, `pass` and NotImplementedError count as "not done yet"
    # the next cell
    my_q_step = check("q_step", my_q_step)

check() runs the answer on copies of the inputs, with a fixed seed. A wrong answer is compared with the known mistakes
of the exercise: the one that gives the same result says what went wrong. Unless the answer is right, check() returns
the reference solution, so that "Run All" reaches the end. COURSE_STRICT=1 raises AssertionError instead.
"""
import ast
import contextlib
import copy
import dataclasses
import difflib
import functools
import inspect
import linecache
import math
import os
import random
import re
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .progress import note, progress_file

REGISTRY: dict[str, "Exercise"] = {}
_ANY = object()                                                # "the solution says nothing about this"


class Unfinished(Exception):
    """The answer returned `...`."""


class ReturnedNone(Exception):
    """The answer returned nothing."""


class ChangedInput(Exception):
    """The answer wrote into one of its arguments; args[0] is the argument's name."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What running a function led to: kind "value", "unfinished", "nothing", "in place", "raised" or
    "no function".

    For "raised", value is (type name, message), and where says in which line of the answer.
    """
    kind: str
    value: Any = None
    where: str = ""


@dataclasses.dataclass
class Exercise:
    """One exercise; see exercise() for the meaning of the fields."""
    name: str
    solution: Callable
    probe: Callable
    mistakes: list
    hints: list
    accept: Callable | None
    rtol: float
    atol: float
    in_place: bool
    unfolded: int = 0

    @functools.cached_property
    def right(self):
        """The outcome of the reference solution. Raises RuntimeError if that is no value."""
        outcome = run(self, self.solution)
        if outcome.kind != "value":
            raise RuntimeError(f"the solution of {self.name} does not work: {outcome}")
        return outcome

    @functools.cached_property
    def wrong(self):
        """[(outcome, sentence)] of the known mistakes."""
        return [(run(self, function), sentence) for function, sentence in self.mistakes]

    def verdict(self, answer):
        """(kind, sentence) with kind "right", "unfinished" or "wrong"."""
        got = run(self, answer)
        same = functools.partial(same_outcome, rtol=self.rtol, atol=self.atol)
        if same(got, self.right):
            return "right", "correct."
        silent = got.kind == "nothing" or self.in_place or isinstance(answer, type)
        if got.kind == "unfinished" or (silent and is_stub(answer)):
            return "unfinished", "not done yet."
        for outcome, sentence in self.wrong:
            if same(got, outcome):
                return "wrong", sentence
        for outcome, sentence in self.wrong:                   # a known mistake, in another precision
            if same(got, outcome, dtype=False) and not same(outcome, self.right, dtype=False):
                return "wrong", sentence
        sentence = self.describe(got)
        return ("wrong", sentence) if sentence else ("right", "correct.")

    def describe(self, got):
        """What is wrong with an outcome that no known mistake explains; None if accept() takes it."""
        if got.kind == "in place":
            return (f"your function changes its argument {got.value}; make a new tensor (x = x * 2) instead of writing "
                    "into the old one (x *= 2).")
        if got.kind == "nothing":
            return "your function returns None; is the last line a `return`?"
        if got.kind == "no function":
            return f"a function is expected, got {got.value}."
        if got.kind == "raised":
            return "your code stopped" + got.where + ": {}: {}".format(*got.value)
        if self.accept is None:
            sentence = difference(got.value, self.right.value, self.rtol, self.atol, self.case_name())
            if ": the dtype is" in sentence or sentence.startswith("the dtype is"):
                numbers = difference(got.value, self.right.value, self.rtol, self.atol, self.case_name(), dtype=False)
                expected = sentence.rpartition("expected ")[2].rstrip(".")
                sentence = f"{numbers} And {sentence[sentence.index('the dtype'):]}" if numbers else f"{sentence} The numbers are right: add .to({expected})."
            return sentence + self.arguments(sentence)
        bad = not_finite(got.value)
        if bad:
            return bad
        try:
            return self.accept(got.value)
        except Exception as error:
            return f"the result cannot be judged ({type(error).__name__}: {error})."

    def arguments(self, sentence):
        """The arguments of the case that a sentence names, if they are plain numbers, or tuples of them; else nothing."""
        case = re.match(r"case (\d+) of", sentence)
        given = self.probe.cases()[int(case[1]) - 1] if case else ()
        text = ", ".join(map(str, given))
        plain = given and len(text) <= 80 and all(isinstance(value, (int, float)) for value in leaves(given))
        return f" The arguments were {text}." if plain else ""

    def case_name(self):
        """How the first level of the result is called in a sentence."""
        return "case" if hasattr(self.probe, "cases") else "part"


def exercise(name, solution, *, cases=None, probe=None, mistakes, hints, accept=None, rtol=1e-4, atol=1e-5,
             in_place=False):
    """Register an exercise, and return it.

    name: the reader's function is called my_<name>; solution: the reference function (or class), written with def.
    cases(): a list of argument tuples, the same at each call; or probe(fn): runs an answer in any way and returns
    tensors, numbers, texts, or lists, tuples, dicts of them. mistakes: [(wrong function, sentence), ...], at least two.
    hints: sentences, from a nudge to nearly everything. accept(result): for questions with many right answers; returns
    None if the probe's result is right, else a sentence. rtol, atol: what counts as equal. in_place: True if the
    answer is meant to change its arguments.
    Raises ValueError if the name is taken, or something is missing.
    """
    if name in REGISTRY:
        raise ValueError(f"there is an exercise {name!r} already")
    if (cases is None) == (probe is None):
        raise ValueError(f"exercise {name!r} needs either cases or a probe")
    if len(mistakes) < 2:
        raise ValueError(f"exercise {name!r} needs at least two known mistakes, got {len(mistakes)}")
    if not hints:
        raise ValueError(f"exercise {name!r} needs at least one hint")
    if getattr(solution, "__name__", "<lambda>") == "<lambda>":
        raise ValueError(f"the solution of {name!r} must be written with def or class, so that it can be shown")
    if probe is None:
        def probe(fn):
            return [fn(*case) for case in cases()]
        probe.cases = cases
    REGISTRY[name] = Exercise(name, solution, probe, list(mistakes), list(hints), accept, rtol, atol, in_place)
    return REGISTRY[name]


# --- running an answer -------------------------------------------------------------------------------------------

@contextlib.contextmanager
def fixed_seed(seed=271_828):
    """All global generators seeded inside, with a seed that no generator of ours has, and afterwards as they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def run(ex, answer):
    """Probe an answer with copied inputs and a fixed seed. Returns an Outcome; lets only KeyboardInterrupt through."""
    if answer is None or answer is ...:
        return Outcome("unfinished")
    if not callable(answer):
        return Outcome("no function", brief(answer))
    try:
        with fixed_seed():
            value = ex.probe(guard(answer, ex.in_place))
        return Outcome("unfinished") if any(leaf is ... for leaf in leaves(value)) else Outcome("value", value)
    except Unfinished:
        return Outcome("unfinished")
    except ReturnedNone:
        return Outcome("nothing")
    except ChangedInput as error:
        return Outcome("in place", error.args[0])
    except (Exception, SystemExit) as error:                   # an answer that calls exit() is an answer that stopped
        if "ellipsis" in str(error) or says_unfinished(error, answer):         # a = ...; return a * x
            return Outcome("unfinished")
        return Outcome("raised", (type(error).__name__, str(error)), line_of(error, answer))


def guard(answer, in_place):
    """The answer, called on copies of its arguments; notices `...`, a missing return, and changed arguments."""
    if isinstance(answer, type):
        return guard_class(answer)

    @functools.wraps(answer)
    def call(*args, **kwargs):
        if in_place:
            out = answer(*args, **kwargs)
            return finished(out) if out is ... else out
        args, kwargs = copy_of((args, kwargs))
        before = copy_of((args, kwargs))
        out = answer(*args, **kwargs)
        find_change(answer, args, kwargs, before)
        return finished(out)
    return call


def guard_class(answer):
    """The class, with a call that notices `...` and a missing return."""
    if not any("__call__" in vars(base) for base in answer.__mro__):
        return answer

    def call(self, *args, **kwargs):
        out = answer.__call__(self, *args, **kwargs)
        return finished(out)
    return type(answer.__name__, (answer,), {"__call__": call})


def finished(out):
    """What an answer returned, unless that is `...` or None."""
    if out is ...:
        raise Unfinished
    if out is None:
        raise ReturnedNone
    return out


def find_change(answer, args, kwargs, before):
    """Raise ChangedInput with the name of the first argument that differs from its copy."""
    try:
        names = list(inspect.signature(answer).parameters)
    except (TypeError, ValueError):
        names = []
    for k, (new, old) in enumerate(zip(args, before[0])):
        if changed(new, old):
            raise ChangedInput(names[k] if k < len(names) else f"number {k + 1}")
    for name in kwargs:
        if changed(kwargs[name], before[1][name]):
            raise ChangedInput(name)


def changed(new, old):
    """Whether two trees of tensors, arrays and plain values differ anywhere (NaN equals NaN)."""
    a, b = list(leaves(new)), list(leaves(old))
    return len(a) != len(b) or any(not same_leaf(x, y) for x, y in zip(a, b))


def same_leaf(x, y):
    """Exactly equal, for tensors, arrays and plain values; anything else counts as equal."""
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        return x.shape == y.shape and torch.equal(torch.nan_to_num(x.detach()), torch.nan_to_num(y.detach()))
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return x.shape == y.shape and np.array_equal(x, y)
    if isinstance(x, (int, float, str, bool)):
        return x == y or (isinstance(x, float) and math.isnan(x))
    return True


def leaves(tree):
    """The parts of a tree of lists, tuples, dicts and dataclasses that are none of these."""
    if isinstance(tree, (list, tuple)):
        for part in tree:
            yield from leaves(part)
    elif isinstance(tree, dict):
        yield from leaves(list(tree.values()))
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        yield from leaves([getattr(tree, field.name) for field in dataclasses.fields(tree)])
    else:
        yield tree


def copy_of(tree):
    """A deep copy that also knows tensors inside a graph, and random generators."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().clone().requires_grad_(tree.requires_grad)
    if isinstance(tree, torch.Generator):
        new = torch.Generator(tree.device)
        new.set_state(tree.get_state())
        return new
    if isinstance(tree, dict) and type(tree) is dict:
        return {key: copy_of(value) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(copy_of(part) for part in tree)
    try:
        return copy.deepcopy(tree)
    except Exception:                                          # an open file, a lock: nothing to protect
        return tree


def line_of(error, answer):
    """' at line 3 (`a = b`)': where in the answer's own file the exception passed; '' if it did not."""
    code = next((function.__code__ for function in own_functions(answer)), None)
    frames, trace = [], error.__traceback__
    while trace:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    mine = [number for file, number in frames if code and file == code.co_filename]
    if not mine:
        return ""
    text = linecache.getline(code.co_filename, mine[-1]).strip()
    return f" at line {mine[-1]}" + (f" (`{text}`)" if text else "")


def says_unfinished(error, answer):
    """Whether a NotImplementedError is the answer's own: raised in its file, or by a class without any method.

    PyTorch raises it too, for what it cannot do (F.pad with an unknown mode); that is an error like any other.
    """
    if not isinstance(error, NotImplementedError):
        return False
    if not inspect.isfunction(answer) and is_stub(answer):
        return True
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    last = trace.tb_frame.f_code                               # a built-in has no frame, so it must be named there
    files = {function.__code__.co_filename for function in own_functions(answer)}
    return last.co_filename in files and "NotImplementedError" in last.co_names


def own_functions(answer):
    """The function itself, or the methods that a class defines; what a decorator has wrapped is unwrapped."""
    if isinstance(answer, type):
        return [inspect.unwrap(f) for f in vars(answer).values() if inspect.isfunction(f)]
    return [inspect.unwrap(answer)] if inspect.isfunction(answer) else []


def is_stub(answer):
    """True if nothing was written yet: no function at all, or somewhere `...`, or a body that is empty."""
    functions = own_functions(answer)
    return not functions or any(is_empty(function) for function in functions)


def is_empty(function):
    """True if a function has `...` in place of a statement or value, raises NotImplementedError, or does nothing."""
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return True
    if not isinstance(node, ast.FunctionDef):
        return False
    for part in ast.walk(node):
        value = getattr(part, "value", None) if isinstance(part, (ast.Expr, ast.Assign, ast.Return)) else None
        if isinstance(value, ast.Constant) and value.value is ...:
            return True
        if isinstance(part, ast.Name) and part.id == "NotImplementedError":
            return True
    body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    return all(isinstance(n, ast.Pass) or (isinstance(n, ast.Return) and n.value is None) for n in body)


# --- comparing results -------------------------------------------------------------------------------------------

def same_outcome(a, b, *, rtol, atol, dtype=True):
    """Whether two outcomes are of one kind and agree: numbers within tolerance, errors in type and message."""
    if a.kind != b.kind:
        return False
    if a.kind != "value":
        return a.value == b.value
    return difference(a.value, b.value, rtol, atol, "part", dtype) is None


def difference(got, want, rtol, atol, level="part", dtype=True, where=""):
    """None if two results agree, else a sentence that says where and how they differ."""
    if isinstance(want, (list, tuple)):
        return sequence_difference(got, want, rtol, atol, level, dtype, where)
    if isinstance(want, dict):
        if not isinstance(got, dict) or set(got) != set(want):
            return f"{where}expected a dict with the keys {sorted(map(str, want))}, got {brief(got)}."
        parts = (difference(got[k], want[k], rtol, atol, "part", dtype, f"{where}entry {k!r}: ") for k in want)
        return next((sentence for sentence in parts if sentence), None)
    if is_array(want):
        return array_difference(got, want, rtol, atol, dtype, where)
    if isinstance(want, (int, float)) and not isinstance(want, bool):
        return number_difference(got, want, rtol, atol, where)
    if is_array(got) and np.ndim(to_numpy(got)) == 0:
        got = to_numpy(got).item()
    try:
        equal = bool(got == want)
    except Exception:
        equal = False
    return None if equal else f"{where}expected {brief(want)}, got {brief(got)}."


def sequence_difference(got, want, rtol, atol, level, dtype, where):
    """difference() for lists and tuples."""
    if not isinstance(got, (list, tuple)):
        return f"{where}expected {len(want)} values (a {type(want).__name__}), got {brief(got)}."
    if len(got) != len(want):
        return f"{where}expected {len(want)} values, got {len(got)}."
    for k, (g, w) in enumerate(zip(got, want)):
        name = where if len(want) == 1 and level == "case" else f"{where}{level} {k + 1} of {len(want)}: "
        sentence = difference(g, w, rtol, atol, "part", dtype, name)
        if sentence:
            return sentence
    return None


def number_difference(got, want, rtol, atol, where):
    """difference() for a plain number; a tensor with one element may stand for it."""
    if is_array(got):
        if np.size(to_numpy(got)) != 1:
            return f"{where}expected a number, got {brief(got)}."
        got = to_numpy(got).item()
    if isinstance(got, str) or not isinstance(got, (int, float)):
        return f"{where}expected a number, got {brief(got)}."
    if math.isnan(got) and not math.isnan(want):
        return f"{where}the result is NaN; look for 0/0, or the root or logarithm of a negative number."
    if got == want or (math.isnan(got) and math.isnan(want)) or abs(got - want) <= atol + rtol * abs(want):
        return None
    off = f"{int(got) - int(want):+,}" if whole(got) and whole(want) else f"{got - want:+.2g}"
    wanted, given = (f"{int(x):,}" if whole(x) else number(x) for x in (want, got))
    big = whole(want) and abs(want) >= 1_000 and math.isfinite(got)
    return f"{where}expected {wanted}, got {given}" + (f" (off by {off})." if big or wanted == given else ".")


def whole(x):
    """Whether a plain number is a whole one, and its digits are exact."""
    return isinstance(x, int) or (x.is_integer() and abs(x) < 2 ** 53)


def array_difference(got, want, rtol, atol, dtype, where):
    """difference() for tensors and arrays: type, shape, dtype, NaN, then the numbers."""
    scalar = want.ndim == 0 and isinstance(got, (int, float))
    if not is_array(got) and not scalar:
        return f"{where}expected {brief(want)}, got {brief(got)}."
    if isinstance(want, torch.Tensor) and isinstance(got, np.ndarray) and dtype:
        return f"{where}expected a tensor, got a numpy array."
    if not scalar and tuple(got.shape) != tuple(want.shape):
        return f"{where}the shape is {tuple(got.shape)}, expected {tuple(want.shape)}."
    if dtype and not scalar and got.dtype != want.dtype:
        return f"{where}the dtype is {got.dtype}, expected {want.dtype}."
    g, w = to_numpy(got), to_numpy(want)
    bad = np.isnan(g) & ~np.isnan(w)
    if bad.any():
        return (f"{where}{int(bad.sum())} of {g.size} numbers are NaN; look for 0/0, or the root or logarithm of a "
                "negative number.")
    return worst_element(g, w, rtol, atol, where)


def worst_element(g, w, rtol, atol, where):
    """None if two arrays of one shape agree, else a sentence about the element that is furthest off."""
    with np.errstate(invalid="ignore"):
        gap = np.where((g == w) | (np.isnan(g) & np.isnan(w)), 0.0, np.abs(g - w))
        excess = np.where(gap == 0, -1.0, gap - atol - rtol * np.abs(w))
    excess = np.nan_to_num(excess, nan=np.inf, posinf=np.inf)
    if g.size == 0 or excess.max() <= 0:
        return None
    worst = np.unravel_index(int(excess.argmax()), g.shape)
    place = f" at {list(map(int, worst))}" if g.ndim else ""
    count = f"; {int((excess > 0).sum())} of {g.size} numbers differ" if g.size > 1 else ""
    return (f"{where}the numbers differ{place}: expected {number(w[worst])}, got {number(g[worst])} "
            f"(off by {number(gap[worst])}{count}).")


def not_finite(value):
    """A sentence if a result has a NaN in it, else None."""
    for leaf in leaves(value):
        if is_array(leaf) or isinstance(leaf, float):
            if np.isnan(to_numpy(leaf)).any():
                return "the result contains NaN; look for 0/0, or the root or logarithm of a negative number."
    return None


def is_array(x):
    """A tensor, a numpy array, or a numpy number."""
    return isinstance(x, (torch.Tensor, np.ndarray, np.generic))


def to_numpy(x):
    """Any tensor, array or number as a numpy array of float64 (complex stays complex)."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().resolve_conj()
        x = x.double().numpy() if not x.is_complex() else x.numpy()
    x = np.asarray(x)
    return x if np.iscomplexobj(x) or x.dtype.kind not in "biuf" else x.astype(np.float64)


def number(x):
    """A number as the sentences show it."""
    return f"{x:.4g}" if np.isreal(x) else f"{x:.4}"


def brief(x):
    """A value in a few words."""
    if isinstance(x, torch.Tensor):
        return f"a tensor of shape {tuple(x.shape)}"
    if isinstance(x, np.ndarray):
        return f"a numpy array of shape {x.shape}"
    if isinstance(x, (list, tuple)):
        return f"a {type(x).__name__} of {len(x)}"
    if isinstance(x, (int, float)):
        return f"the {type(x).__name__} {x if isinstance(x, (bool, int)) else number(x)}"
    text = repr(x)
    return text if isinstance(x, str) and len(text) < 60 else f"a {type(x).__name__}"


# --- what the notebooks call -------------------------------------------------------------------------------------

def find(name):
    """The exercise of that name. Raises ValueError that suggests the nearest one."""
    if name in REGISTRY:
        return REGISTRY[name]
    near = difflib.get_close_matches(str(name).removeprefix("my_"), REGISTRY, n=1, cutoff=0.4)
    if near:
        raise ValueError(f"there is no exercise {name!r}; did you mean {near[0]!r}?")
    raise ValueError(f"there is no exercise {name!r}; there are: {', '.join(sorted(REGISTRY)) or 'none yet'}")


def check(name, answer):
    """Grade an answer and print the verdict.

    Returns the answer if it is right, and notes its name in the progress file; else the reference solution. With
    COURSE_STRICT=1 in the environment, raises
    AssertionError unless it is right. Raises ValueError if there is no such exercise.
    """
    ex = find(name)
    if answer is ex.solution:                                  # this cell was run twice: my_<name> is what it returned before
        if os.environ.get("COURSE_STRICT") == "1":
            raise AssertionError(f"{name}: unfinished: my_{name} is the reference solution")
        print(f"☐ {name}: my_{name} is the reference solution now. Run the cell with your answer (it must define my_{name}) again, then this one.")
        return answer
    try:
        kind, sentence = ex.verdict(answer)
    except KeyboardInterrupt as stopped:
        kind, sentence = "wrong", f"you stopped the check{line_of(stopped, answer)}; is there a loop that never ends?"
    if kind == "right":
        print(f"✔ {name}: {sentence}")
        try:
            note(name)
        except OSError as error:
            print(f"   It could not be noted in {progress_file()} ({error.strerror}); DDPM_PROGRESS=FILE names another file.")
        return answer
    if os.environ.get("COURSE_STRICT") == "1":
        raise AssertionError(f"{name}: {kind}: {sentence}")
    if kind == "unfinished":
        print(f"☐ {name}: {sentence} The notebook goes on with the reference solution.")
    else:
        print(f"✘ {name}: {sentence}")
        print(f"   The notebook goes on with the reference solution. Change the cell above and run both again; "
              f"hint({name!r}) helps.")
    return ex.solution


def hint(name):
    """Print the next hint of an exercise, one at each call. Raises ValueError if there is no such exercise."""
    ex = find(name)
    if ex.unfolded < len(ex.hints):
        ex.unfolded += 1
        print(f"hint {ex.unfolded} of {len(ex.hints)}: {ex.hints[ex.unfolded - 1]}")
    if ex.unfolded == len(ex.hints):
        print(f"That was the last hint. show_solution({name!r}) shows one way to write it.")


def solution_source(name):
    """The source of the reference solution, as the reader would write it: named my_<name>, without decorators."""
    solution = find(name).solution
    source = textwrap.dedent(inspect.getsource(solution))
    node = ast.parse(source).body[0]
    lines = [line.encode() for line in source.splitlines()]    # ast counts columns in bytes
    first = lines[node.lineno - 1]
    start = first.index(node.name.encode(), first.index(b" ", node.col_offset))
    uses = [(n.lineno, n.col_offset) for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == node.name]
    for row, column in sorted([*uses, (node.lineno, start)], reverse=True):
        text = lines[row - 1]
        lines[row - 1] = text[:column] + f"my_{name}".encode() + text[column + len(node.name.encode()):]
    return b"\n".join(lines[node.lineno - 1:node.end_lineno]).decode() + "\n"


def show_solution(name):
    """Print one way to solve an exercise. Raises ValueError if there is no such exercise."""
    print(solution_source(name), end="")
