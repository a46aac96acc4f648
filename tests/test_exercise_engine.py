"""check(), hint() and show_solution(): every verdict with its exact sentence."""
import importlib
import random

import numpy as np
import pytest
import torch
from torch import nn

from ddpm_lib.course.exercise import check, exercise, hint, show_solution, solution_source

engine = importlib.import_module("ddpm_lib.course.exercise")  # the package has a function of this name


def _scale(x_0, a):
    """Data times a, per picture."""
    return x_0 * a.view(-1, 1)


def _scale_squared(x_0, a):
    return x_0 * a.view(-1, 1) ** 2


def _scale_first(x_0, a):
    return x_0 * a[0]


def _scale_broadcast(x_0, a):
    return x_0 * a                                             # (2, 3) * (2,): raises


def _scale_in_place(x_0, a):
    x_0 *= a.view(-1, 1)
    return x_0


def cases():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(2, 3, generator=g), torch.tensor([0.5, 2.0])), (torch.ones(2, 3), torch.tensor([1.0, 3.0]))]


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(engine, "REGISTRY", {})
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    return engine.REGISTRY


@pytest.fixture
def scale(registry):
    return exercise("scale", _scale, cases=cases, hints=["Look at the shapes.", "Use view(-1, 1)."], mistakes=[
        (_scale_squared, "a is squared here, it belongs in as it is."),
        (_scale_first, "all pictures get the a of the first one."),
        (_scale_broadcast, "a has the shape (B,), and must become (B, 1) first."),
        (_scale_in_place, "x_0 *= changes the data itself.")])


GOES_ON = ("   The notebook goes on with the reference solution. Change the cell above and run both again; "
           "hint('scale') helps.\n")


def said(capsys, answer, name="scale"):
    returned = check(name, answer)
    return returned, capsys.readouterr().out


def test_right(scale, capsys):
    def my_scale(x_0, a):
        return a[:, None] * x_0
    assert said(capsys, my_scale) == (my_scale, "✔ scale: correct.\n")


def unfinished_dots(x_0, a):
    # TODO: multiply
    ...


def unfinished_pass(x_0, a):
    """Multiply."""
    pass


def unfinished_error(x_0, a):
    raise NotImplementedError


def unfinished_half(x_0, a):
    factor = ...
    return x_0 * factor


def unfinished_value(x_0, a):
    return ...


@pytest.mark.parametrize("answer", [unfinished_dots, unfinished_pass, unfinished_error, unfinished_half,
                                    unfinished_value, None, ...], ids=str)
def test_unfinished(scale, capsys, answer):
    assert said(capsys, answer) == (
        _scale, "☐ scale: not done yet. The notebook goes on with the reference solution.\n")


@pytest.mark.parametrize("mistake", [_scale_squared, _scale_first, _scale_broadcast, _scale_in_place])
def test_a_known_mistake_gets_its_own_sentence(scale, capsys, mistake):
    sentence = {function: text for function, text in scale.mistakes}[mistake]
    assert said(capsys, mistake) == (_scale, f"✘ scale: {sentence}\n{GOES_ON}")


def forgot_return(x_0, a):
    x_0 * a.view(-1, 1)


def wrong_index(x_0, a):
    b = a[:1]
    return x_0 * b[7]


def one_number_off(x_0, a):
    out = x_0 * a.view(-1, 1)
    out[1, 2] += 0.25
    return out


def other_argument(x_0, a):
    return x_0 * a.add_(1).view(-1, 1)


def looks_like_a_stub(x_0, a):
    b = a[..., None]
    b * x_0


@pytest.mark.parametrize("answer, sentence", [
    (forgot_return, "your function returns None; is the last line a `return`?"),
    (looks_like_a_stub, "your function returns None; is the last line a `return`?"),
    (other_argument, "your function changes its argument a; make a new tensor (x = x * 2) instead of writing into "
                     "the old one (x *= 2)."),
    (lambda x_0, a: x_0[0], "case 1 of 2: the shape is (3,), expected (2, 3)."),
    (lambda x_0, a: _scale(x_0, a).double(), "case 1 of 2: the dtype is torch.float64, expected torch.float32. "
     "The numbers are right: add .to(torch.float32)."),
    (lambda x_0, a: _scale(x_0, a).double() + 1, "case 1 of 2: the numbers differ at [0, 1]: expected "
     "-0.1467, got 0.8533 (off by 1; 6 of 6 numbers differ). And the dtype is torch.float64, expected torch.float32."),
    (lambda x_0, a: 3, "case 1 of 2: expected a tensor of shape (2, 3), got the int 3."),
    (lambda x_0, a: [x_0], "case 1 of 2: expected a tensor of shape (2, 3), got a list of 1."),
    (lambda x_0, a: "x", "case 1 of 2: expected a tensor of shape (2, 3), got 'x'."),
    (lambda x_0, a: _scale(x_0, a).numpy(), "case 1 of 2: expected a tensor, got a numpy array."),
    (lambda x_0, a: x_0 * 0 / 0, "case 1 of 2: 6 of 6 numbers are NaN; look for 0/0, or the root or logarithm of a "
                                 "negative number."),
    (one_number_off, "case 1 of 2: the numbers differ at [1, 2]: expected -2.797, got -2.547 (off by 0.25; 1 of 6 "
                     "numbers differ)."),
    (3, "a function is expected, got the int 3."),
], ids=lambda v: v[:30] if isinstance(v, str) else "")
def test_wrong(scale, capsys, answer, sentence):
    assert said(capsys, answer) == (_scale, f"✘ scale: {sentence}\n{GOES_ON}")


def test_an_error_names_the_line_of_the_reader(scale, capsys):
    line = wrong_index.__code__.co_firstlineno + 2
    assert said(capsys, wrong_index)[1] == (
        f"✘ scale: your code stopped at line {line} (`return x_0 * b[7]`): IndexError: index 7 is out of bounds for "
        f"dimension 0 with size 1\n{GOES_ON}")


def padded(x, mode, sides):
    return torch.nn.functional.pad(x, sides, mode=mode)


def pads_with_an_unknown_mode(x_0, a):
    return padded(x_0, "edge", (1, 1, 1, 1))


def pads_with_too_few_numbers(x_0, a):
    x_0 = torch.nn.functional.pad(x_0[None, None], (0, 1), mode="replicate")
    return x_0 * a


def raised_by_a_builtin(x_0, a):
    torch._C._nn.pad(x_0, (1, 1, 1, 1), "edge", None)


def test_what_pytorch_cannot_do_is_an_error_and_not_an_unfinished_answer(scale, capsys):
    for answer, words in ((pads_with_an_unknown_mode, "Unrecognised padding mode edge"), (raised_by_a_builtin, "edge"),
                          (pads_with_too_few_numbers, "Padding size 2 is not supported")):
        with pytest.raises(NotImplementedError):               # it is PyTorch's own NotImplementedError
            answer(*cases()[0])
        out = said(capsys, answer)[1]
        assert out.startswith("✘ scale: your code stopped at line ") and words in out, out
        assert scale.verdict(lambda x_0, a, f=answer: f(x_0, a))[0] == "wrong"


def test_not_implemented_error_of_the_readers_own_is_unfinished(scale, registry):
    def helper(x_0):
        raise NotImplementedError("later")

    def calls_helper(x_0, a):
        return helper(x_0) * a

    @torch.no_grad()
    def decorated(x_0, a):
        if len(x_0):
            raise NotImplementedError
        return x_0

    class NoForward(nn.Module):
        pass

    class StubForward(nn.Module):
        def forward(self, x):
            raise NotImplementedError

    class Misspelt(nn.Module):
        def froward(self, x):
            return 2 * x

    assert scale.verdict(calls_helper) == scale.verdict(decorated) == ("unfinished", "not done yet.")
    ex = exercise("double", _Double, probe=lambda cls: cls()(torch.ones(2)), hints=["?"], mistakes=[
        (_Triple, "three times."), (nn.Identity, "unchanged.")])
    assert ex.verdict(NoForward) == ex.verdict(StubForward) == ("unfinished", "not done yet.")
    kind, sentence = ex.verdict(Misspelt)
    assert kind == "wrong" and 'Module [Misspelt] is missing the required "forward" function' in sentence


def test_a_known_mistake_may_be_one_that_pytorch_refuses(registry):
    def pads(x):
        return torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    ex = exercise("pads", pads, cases=lambda: [(torch.ones(1, 1, 3, 3),)], hints=["?"], mistakes=[
        (lambda x: padded(x, "edge", (1, 1, 1, 1)), "the mode has another name."), (lambda x: padded(x, "replicate", (1, 1)), "four numbers.")])
    assert ex.verdict(lambda x: torch.nn.functional.pad(x, (1, 1, 1, 1), mode="edge")) == ("wrong", "the mode has another name.")
    assert ex.verdict(lambda x: torch.nn.functional.pad(x, (0, 1), mode="replicate")) == ("wrong", "four numbers.")


def test_a_known_mistake_in_another_precision(scale, capsys):
    out = said(capsys, lambda x_0, a: _scale_squared(x_0.double(), a))[1]
    assert out.startswith("✘ scale: a is squared here, it belongs in as it is.\n")


def test_strict_mode_raises(scale, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    own = lambda x_0, a: _scale(x_0, a)
    assert check("scale", own) is own
    for answer, words in ((unfinished_dots, "scale: unfinished: not done yet"), (_scale, "scale: unfinished: my_scale is the reference solution"),
                          (_scale_squared, "scale: wrong: a is squared here")):
        with pytest.raises(AssertionError, match=words):
            check("scale", answer)


def test_an_unknown_name_suggests_the_nearest(scale):
    for name in ("scal", "my_scale", "Scale"):
        with pytest.raises(ValueError, match=f"there is no exercise '{name}'; did you mean 'scale'"):
            check(name, _scale)
    with pytest.raises(ValueError, match="there is no exercise 'zzzz'; there are: scale"):
        hint("zzzz")


def test_hints_unfold_one_at_a_time(scale, capsys):
    hint("scale")
    assert capsys.readouterr().out == "hint 1 of 2: Look at the shapes.\n"
    last = "That was the last hint. show_solution('scale') shows one way to write it.\n"
    hint("scale")
    assert capsys.readouterr().out == "hint 2 of 2: Use view(-1, 1).\n" + last
    hint("scale")
    assert capsys.readouterr().out == last


def _factorial(n):
    return 1 if n < 2 else n * _factorial(n - 1)               # ä: not one byte


def test_the_solution_carries_the_readers_name(scale, registry, capsys):
    show_solution("scale")
    assert capsys.readouterr().out == ('def my_scale(x_0, a):\n    """Data times a, per picture."""\n'
                                       "    return x_0 * a.view(-1, 1)\n")
    exercise("factorial", _factorial, cases=lambda: [(4,)], hints=["?"], mistakes=[
        (lambda n: n, "one factor."), (lambda n: n ** n, "n times n.")])
    space = {}
    exec(solution_source("factorial"), space)
    assert space["my_factorial"](5) == 120 and "_factorial(n - 1)" in solution_source("factorial")


@pytest.mark.parametrize("change, words", [
    ({"mistakes": [(_scale_first, "one.")]}, "needs at least two known mistakes, got 1"),
    ({"hints": []}, "needs at least one hint"),
    ({"cases": None}, "needs either cases or a probe"),
    ({"probe": lambda fn: 1}, "needs either cases or a probe"),
    ({"solution": lambda x: x}, "must be written with def"),
    ({"name": "scale"}, "there is an exercise 'scale' already"),
])
def test_half_an_exercise_is_refused(scale, change, words):
    wanted = {"name": "new", "solution": _scale, "cases": cases, "hints": ["?"], "mistakes": scale.mistakes, **change}
    with pytest.raises(ValueError, match=words):
        exercise(**wanted)


# --- randomness, probes, numbers, classes

def _draw(n):
    return torch.randn(n) + float(np.random.rand()) + random.random()


def test_the_readers_random_state_is_untouched_and_the_check_is_the_same_each_time(registry):
    ex = exercise("draw", _draw, cases=lambda: [(3,)], hints=["?"], mistakes=[
        (lambda n: torch.rand(n), "uniform."), (lambda n: torch.zeros(n), "no noise at all.")])
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    assert ex.verdict(_draw) == ex.verdict(_draw) == ("right", "correct.")
    assert ex.verdict(lambda n: torch.zeros(n)) == ("wrong", "no noise at all.")
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()
    assert before[2] == random.getstate()


def _with_generator(n, generator):
    return torch.randn(n, generator=generator)


def test_a_generator_is_copied(registry):
    generator = torch.Generator().manual_seed(0)
    ex = exercise("generator", _with_generator, cases=lambda: [(3, generator)], hints=["?"], mistakes=[
        (lambda n, generator: torch.randn(n), "the generator is not used."),
        (lambda n, generator: torch.rand(n, generator=generator), "uniform.")])
    assert ex.verdict(_with_generator)[0] == ex.verdict(_with_generator)[0] == "right"
    assert ex.verdict(lambda n, generator: torch.randn(n))[1] == "the generator is not used."


def _first_below(values, limit):
    return next(k for k, value in enumerate(values) if value < limit)


def test_plain_numbers(registry):
    ex = exercise("first", _first_below, cases=lambda: [([3.0, 2.0, 1.0], 2.5)], hints=["?"], mistakes=[
        (lambda values, limit: 2, "that is the last one."), (lambda values, limit: 0, "that is the first of all.")])
    assert ex.verdict(lambda v, s: torch.tensor(1))[0] == "right"
    assert ex.verdict(lambda v, s: 2.0) == ("wrong", "that is the last one.")
    assert ex.verdict(lambda v, s: 7) == ("wrong", "expected 1, got 7.")
    assert ex.verdict(lambda v, s: float("nan"))[1].startswith("the result is NaN")
    assert ex.verdict(lambda v, s: "one") == ("wrong", "expected a number, got 'one'.")
    assert ex.verdict(lambda v, s: torch.zeros(3)) == ("wrong", "expected a number, got a tensor of shape (3,).")


def test_whole_numbers_are_shown_whole(registry):
    def count(channels, widths):
        return 35_746_307 if channels == 1 else 2_500
    ex = exercise("count", count, cases=lambda: [(1, (24, 48)), (2, (1,))], rtol=0, atol=0, hints=["?"], mistakes=[
        (lambda channels, widths: 1, "that is one."), (lambda channels, widths: 2, "that is two.")])
    arguments = " The arguments were 1, (24, 48)."
    for got, shown in ((35_745_283, "35,745,283 (off by -1,024)"), (35_745_283.0, "35,745,283 (off by -1,024)"),
                       (35_746_307.5, "3.575e+07 (off by +0.5)"), (torch.tensor(35_746_308), "35,746,308 (off by +1)")):
        assert ex.verdict(lambda channels, widths, got=got: got) == (
            "wrong", f"case 1 of 2: expected 35,746,307, got {shown}.{arguments}")
    assert ex.verdict(lambda channels, widths: float("inf"))[1] == f"case 1 of 2: expected 35,746,307, got inf.{arguments}"
    assert ex.verdict(lambda channels, widths: 35_746_307) == (
        "wrong", "case 2 of 2: expected 2,500, got 35,746,307 (off by +35,743,807). The arguments were 2, (1,).")


def test_two_numbers_that_look_alike_are_told_apart(registry):
    def third(n):
        return n / 3
    ex = exercise("third", third, cases=lambda: [(1,)], rtol=1e-6, atol=0, hints=["?"], mistakes=[
        (lambda n: n, "one."), (lambda n: n / 2, "half.")])
    assert ex.verdict(lambda n: 0.3333)[1] == "expected 0.3333, got 0.3333 (off by -3.3e-05)."
    assert ex.verdict(lambda n: 0.25)[1] == "expected 0.3333, got 0.25."


def _design(T):
    return torch.linspace(1, 0.1, T)


def test_questions_with_many_answers(registry):
    def accept(results):
        return None if all(bool((r.diff() < 0).all()) for r in results) else "the curve must fall all the way."
    ex = exercise("design", _design, cases=lambda: [(5,)], accept=accept, hints=["?"], mistakes=[
        (lambda T: torch.linspace(1, 0, T), "it must not reach 0."), (lambda T: torch.ones(T), "it does not fall.")])
    assert ex.verdict(lambda T: torch.linspace(1, 0.3, T)) == ("right", "correct.")
    assert ex.verdict(lambda T: torch.arange(T)) == ("wrong", "the curve must fall all the way.")
    assert ex.verdict(lambda T: torch.linspace(1, 0, T)) == ("wrong", "it must not reach 0.")
    assert ex.verdict(lambda T: torch.full((T,), float("nan")))[1].startswith("the result contains NaN")
    assert ex.verdict(lambda T: "flat")[1].startswith("the result cannot be judged (AttributeError")


class _Double(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.factor * x


class _Triple(_Double):
    def forward(self, x):
        return 1.5 * self.factor * x


class _Stub(nn.Module):
    def __init__(self):
        super().__init__()
        ...

    def forward(self, x):
        ...


class _Forgets(_Double):
    def forward(self, x):
        self.factor * x


def test_classes(registry):
    ex = exercise("double", _Double, probe=lambda cls: cls()(torch.ones(2)), hints=["?"], mistakes=[
        (_Triple, "three times."), (nn.Identity, "unchanged.")])
    assert ex.verdict(_Double)[0] == "right" and ex.verdict(_Triple) == ("wrong", "three times.")
    assert ex.verdict(_Stub) == ("unfinished", "not done yet.")
    assert ex.verdict(_Forgets) == ("wrong", "your function returns None; is the last line a `return`?")
    assert solution_source("double").startswith("class my_double(nn.Module):")


def _update(ema, new):
    ema.mul_(0.5).add_(0.5 * new)


def test_answers_that_are_meant_to_change_their_input(registry):
    def probe(fn):
        ema = torch.zeros(2)
        fn(ema, torch.ones(2))
        return ema
    ex = exercise("update", _update, probe=probe, in_place=True, hints=["?"], mistakes=[
        (lambda ema, new: ema.copy_(new), "that is no average."), (lambda ema, new: ema.add_(new / 4), "a quarter.")])
    assert ex.verdict(_update)[0] == "right"
    assert ex.verdict(lambda ema, new: ema.copy_(new)) == ("wrong", "that is no average.")
    assert ex.verdict(unfinished_dots) == ("unfinished", "not done yet.")


def _moments(x):
    return {"mean": x.mean(), "parts": (x.min(), x.max())}


def test_nested_results(registry):
    ex = exercise("moments", _moments, cases=lambda: [(torch.arange(4.0),)], hints=["?"], mistakes=[
        (lambda x: {"mean": x.sum(), "parts": (x.min(), x.max())}, "the sum."), (lambda x: {}, "nothing.")])
    assert ex.verdict(lambda x: {"mean": 1.5, "parts": [0.0, 3.0]})[0] == "right"
    assert ex.verdict(lambda x: {"mean": x.mean(), "parts": (x.max(), x.min())}) == (
        "wrong", "entry 'parts': part 1 of 2: the numbers differ: expected 0, got 3 (off by 3).")
    assert ex.verdict(lambda x: {"mean": x.mean()})[1] == "expected a dict with the keys ['mean', 'parts'], got a dict."
    assert ex.verdict(lambda x: {"mean": x.mean(), "parts": ...}) == ("unfinished", "not done yet.")


def test_a_check_that_was_stopped_says_where(scale, capsys):
    def endless(x_0, a):
        while True:
            raise KeyboardInterrupt                            # what the stop button does
    assert check("scale", endless) is engine.REGISTRY["scale"].solution
    assert "✘ scale: you stopped the check at line " in (said := capsys.readouterr().out) and "; is there a loop that never ends?" in said


def test_an_answer_that_leaves_is_an_answer_that_stopped(scale, capsys):
    def leaves(x_0, a):
        raise SystemExit
    assert check("scale", leaves) is engine.REGISTRY["scale"].solution
    assert "✘ scale: your code stopped at line " in capsys.readouterr().out


def test_plain_arguments_are_named():
    def total(a, b):
        return a + b

    exercise("sum_of_two", total, cases=lambda: [(1, 2), (0.5, 0.25)], hints=["add them"],
             mistakes=[(lambda a, b: a - b, "this subtracts"), (lambda a, b: a * b, "this multiplies")])
    assert engine.REGISTRY["sum_of_two"].verdict(lambda a, b: a + b if a == 1 else 7) == (
        "wrong", "case 2 of 2: expected 0.75, got 7. The arguments were 0.5, 0.25.")
    del engine.REGISTRY["sum_of_two"]
