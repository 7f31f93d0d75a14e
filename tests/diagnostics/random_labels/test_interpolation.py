import tracemalloc

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression

from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.random_labels import gram as gram_module
from aumclean.diagnostics.random_labels.gram import Gram, bandwidth
from aumclean.diagnostics.random_labels.interpolation import CG_ITERATIONS, GIB, conjugate_gradients, interpolate, plan
from aumclean.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def digits():
    """1,200 digits to train on and 597 to test."""
    loaded = load_digits()
    images = np.repeat((loaded.images * (255 / 16)).astype(np.uint8)[..., None], 3, axis=3)
    order = np.random.default_rng(0).permutation(len(images))
    whole = Dataset(images[order], loaded.target[order].astype(np.int64), tuple(map(str, range(10))))
    return (
        Dataset(whole.images[:1200], whole.labels[:1200], whole.class_names),
        Dataset(whole.images[1200:], whole.labels[1200:], whole.class_names),
    )


def few(dataset, n):
    return Dataset(dataset.images[:n], dataset.labels[:n], dataset.class_names)


def flat(dataset):
    return dataset.images.reshape(len(dataset), -1) / 255


def test_the_gaussian_kernel_interpolates_and_beats_a_linear_classifier_on_digits(digits):
    train, test = digits
    fits = {(fit.labels, fit.ridge): fit for fit in interpolate(train, test, "gaussian")}
    true, random = fits["true", 0.0], fits["random", 0.0]
    linear = LogisticRegression(max_iter=2000).fit(flat(train), train.labels)
    assert true.train_error == random.train_error == 0
    assert max(true.residual, random.residual) < 1e-4
    assert true.test_error < 1 - linear.score(flat(test), test.labels)
    assert random.test_error == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / len(test)))
    assert random.norm > 2 * true.norm
    assert all(fit.norm < fits[fit.labels, 0.0].norm for fit in fits.values() if fit.ridge)


def test_outputs_are_those_of_scikit_learns_kernel_ridge(digits):
    train, test = few(digits[0], 300), few(digits[1], 200)
    gamma = 0.05
    fit = next(fit for fit in interpolate(train, test, "gaussian", gamma=gamma, ridges=(0.1,)) if fit.ridge)
    reference = KernelRidge(alpha=0.1, kernel="rbf", gamma=gamma).fit(flat(train), np.eye(10)[train.labels])
    assert fit.test_error == pytest.approx((reference.predict(flat(test)).argmax(1) != test.labels).mean())
    assert fit.train_error == pytest.approx((reference.predict(flat(train)).argmax(1) != train.labels).mean())


@pytest.mark.parametrize("gamma", [None, 0.3])
def test_tiles_make_up_the_gram_matrix(gamma, monkeypatch):
    monkeypatch.setattr(gram_module, "TILE", 7)
    rows = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    expected = rows.astype(float) @ rows.T if gamma is None else RBF(np.sqrt(0.5 / gamma))(rows.astype(float))
    gram = Gram(rows, gamma)
    np.testing.assert_allclose(np.tril(gram.lower()), np.tril(expected), atol=1e-6)
    alpha = np.random.default_rng(1).normal(size=(30, 2))
    np.testing.assert_allclose(gram.times(alpha), expected @ alpha, atol=1e-5)
    np.testing.assert_allclose(gram.times(alpha, rows[3:12]), (expected @ alpha)[3:12], atol=1e-5)


def test_conjugate_gradients_reach_the_solution_of_a_direct_solver():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(60, 60))
    matrix, targets = half @ half.T + np.eye(60), rng.normal(size=(60, 3))
    targets[:, 1] = 0  # a column that is solved before the first step
    solution, steps = conjugate_gradients(lambda x: matrix @ x, targets, tolerance=1e-10)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, targets), atol=1e-7)
    assert 0 < steps < 500


def test_conjugate_gradients_of_a_singular_matrix_stay_finite():
    half = np.random.default_rng(0).normal(size=(60, 20))
    matrix, targets = half @ half.T, np.eye(60)[:, :3]  # which no combination of 20 vectors gives
    solution, steps = conjugate_gradients(lambda x: matrix @ x, targets)
    assert np.isfinite(solution).all() and steps == CG_ITERATIONS


def test_beyond_memory_conjugate_gradients_give_what_cholesky_gives(digits):
    train, test = few(digits[0], 200), digits[1]
    direct = interpolate(train, test, "gaussian", solver="cholesky")
    stepped = interpolate(train, test, "gaussian", solver="cg")
    for one, other in zip(direct, stepped, strict=True):
        assert (other.solver, other.labels, other.ridge) == ("cg", one.labels, one.ridge)
        assert other.train_error == one.train_error
        assert other.test_error == pytest.approx(one.test_error, abs=0.01)
        assert other.norm == pytest.approx(one.norm, rel=0.01)
        assert other.iterations > 0


def test_the_linear_kernel_interpolates_up_to_its_dimensions_and_is_least_squares_beyond(digits):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (150, 4, 4, 3), dtype=np.uint8)
    noise = Dataset(images, rng.integers(0, 3, 150), ("a", "b", "c"))
    within, beyond = few(noise, 40), noise
    assert all(fit.train_error == 0 and fit.residual < 1e-6 for fit in interpolate(within, noise, "linear", ridges=()))
    fits = interpolate(beyond, noise, "linear", ridges=())
    assert {fit.solver for fit in fits} == {"primal"}
    weights = np.linalg.lstsq(flat(beyond), np.eye(3)[beyond.labels], rcond=None)[0]
    assert fits[0].norm == pytest.approx(np.linalg.norm(weights), rel=1e-4)
    assert fits[0].train_error == pytest.approx(((flat(beyond) @ weights).argmax(1) != beyond.labels).mean())


def test_the_solution_has_the_least_norm_of_all_that_fit():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    train = Dataset(images, rng.integers(0, 3, 20), ("a", "b", "c"))
    fit = interpolate(train, train, "linear", ridges=())[0]
    weights = np.linalg.pinv(flat(train)) @ np.eye(3)[train.labels]
    assert fit.norm == pytest.approx(np.linalg.norm(weights), rel=1e-5)


def test_random_convolution_features_help_on_digits(digits):
    train, test = digits
    fits = interpolate(train, test, "convolution", filters=400, ridges=())
    assert [fit.train_error for fit in fits] == [0, 0]
    assert fits[0].test_error < 0.03
    assert fits[1].norm > 2 * fits[0].norm


def test_a_kernel_to_which_images_look_alike_is_seen_by_its_jitter_and_residual(digits):
    fits = interpolate(few(digits[0], 200), few(digits[1], 100), "gaussian", gamma=1e-7, ridges=())
    assert all(fit.jitter > 0 and fit.residual > 0.1 for fit in fits)
    assert fits[1].train_error > 0


def test_equal_images_are_taken_once(digits):
    train, test = few(digits[0], 100), few(digits[1], 100)
    doubled = Dataset(np.repeat(train.images, 2, axis=0), np.repeat(train.labels, 2), train.class_names)
    fits = interpolate(doubled, test, "gaussian", ridges=())
    assert {fit.samples for fit in fits} == {100}
    assert {fit.train_error for fit in fits} == {0}


def test_what_it_takes_is_said_before_it_starts(digits, caplog):
    with caplog.at_level("INFO", logger="aumclean"):
        interpolate(few(digits[0], 50), few(digits[1], 20), "gaussian", ridges=())
    assert "gaussian kernel of 50 images: 0.01 GiB of memory, by Cholesky factorisation" in caplog.text


def test_the_solver_follows_the_memory():
    assert plan("gaussian", 10_000, 1000, 3072, 10, memory=2)[0] == "cholesky"
    assert plan("gaussian", 10_000, 1000, 3072, 10, memory=0.5)[0] == "cg"
    assert plan("gaussian", 10_000, 1000, 3072, 10, memory=2)[1] > 8 * 10_000**2
    assert plan("linear", 10_000, 1000, 3072, 10, memory=2)[0] == "primal"
    with pytest.raises(ConfigError, match=r"--memory: the gaussian kernel of 10,000 images needs 0\.\d\d GiB by cg"):
        plan("gaussian", 10_000, 1000, 3072, 10, memory=0.05)
    with pytest.raises(ConfigError, match="--memory: .* by cholesky, 0.50 GiB may be used; raise --memory or lower"):
        plan("gaussian", 10_000, 1000, 3072, 10, memory=0.5, solver="cholesky")
    with pytest.raises(ConfigError, match="--solver primal: does not suit the gaussian .* cholesky or cg"):
        plan("gaussian", 100, 10, 48, 10, solver="primal")
    with pytest.raises(ConfigError, match="--solver cg: does not suit the linear .*; say --solver primal"):
        plan("linear", 100, 10, 48, 10, solver="cg")  # K has no inverse


def test_the_plan_covers_what_is_taken(digits):
    train, test = few(digits[0], 1200), few(digits[1], 50)
    tracemalloc.start()
    interpolate(train, test, "gaussian", ridges=())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < plan("gaussian", 1200, 50, 192, 10)[1] < peak + GIB / 8


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gamma": 0.0}, ConfigError, "--gamma: 0 is not above 0"),
        ({"ridges": (0.1, -1.0)}, ConfigError, "--ridge: -1 is not above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(digits, options, error, message):
    with pytest.raises(error, match=message):
        interpolate(few(digits[0], 20), few(digits[1], 20), "gaussian", **options)


def test_an_empty_test_part_is_refused(digits):
    with pytest.raises(DataError, match="the test part has no images"):
        interpolate(few(digits[0], 20), few(digits[1], 0), "gaussian")


def test_the_bandwidth_is_that_of_the_authors_on_digits_as_large_as_mnists():
    rows = np.random.default_rng(0).random((200, 784)).astype(np.float32)
    distances = ((rows[:, None] - rows[None]) ** 2).sum(2)[np.triu_indices(200, 1)]
    assert bandwidth(rows) == pytest.approx(2 / np.median(distances), rel=1e-5)
