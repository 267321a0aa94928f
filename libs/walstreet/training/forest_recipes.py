"""Owns small LightGBM models of every kind, and rows that meet all their thresholds: what another forest must agree on.

The contract tests and `walstreet exhibit decision` compare our forest with LightGBM on exactly these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np

from walstreet.kernels.forest_model import ForestModel
from walstreet.kernels.interface import FloatArray

FEATURES = 7
CATEGORY_COLUMN = 6
CATEGORIES = 70
ROWS = 500

SPECIALS = (
    float("nan"),
    -float("nan"),
    float("inf"),
    -float("inf"),
    0.0,
    -0.0,
    5e-324,
    -2.2e-308,
    1e-36,
    -1e-35,
    1.0000000180025095e-35,
    1.0000000180025097e-35,
    1.0000000180025093e-35,
    1e300,
    -1e300,
    2147483647.0,
    2147483648.0,
    -2147483649.0,
    0.5,
    -0.5,
    -0.9999999999999999,
    -1.0,
    69.99,
    1e9,
)
"""Values at which comparisons, categories and missing values are decided."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model is trained."""

    name: str
    parameters: dict[str, Any]
    rounds: int = 20
    missing: float = 0.0
    zeros: float = 0.0
    categorical: bool = False
    label: str = "real"
    scale: float = 1.0
    dataset: dict[str, Any] = field(default_factory=dict)


RF = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.8}
RECIPES = (
    Recipe(name="regression", parameters={"objective": "regression"}),
    Recipe(name="l1", parameters={"objective": "regression_l1"}),
    Recipe(name="huber", parameters={"objective": "huber"}),
    Recipe(name="fair", parameters={"objective": "fair"}),
    Recipe(name="quantile", parameters={"objective": "quantile", "alpha": 0.8}),
    Recipe(name="mape", parameters={"objective": "mape"}, label="positive"),
    Recipe(name="square root", parameters={"objective": "regression", "reg_sqrt": True}),
    Recipe(name="poisson", parameters={"objective": "poisson"}, label="positive"),
    Recipe(name="gamma", parameters={"objective": "gamma"}, label="positive"),
    Recipe(name="tweedie", parameters={"objective": "tweedie"}, label="positive"),
    Recipe(name="binary", parameters={"objective": "binary"}, label="binary"),
    Recipe(name="binary, sigmoid", parameters={"objective": "binary", "sigmoid": 0.7}, label="binary"),
    Recipe(name="cross entropy", parameters={"objective": "cross_entropy"}, label="share"),
    Recipe(name="multiclass", parameters={"objective": "multiclass", "num_class": 4}, label="classes"),
    Recipe(
        name="multiclass, one against all",
        parameters={"objective": "multiclassova", "num_class": 4, "sigmoid": 1.3},
        label="classes",
    ),
    Recipe(name="missing", parameters={"objective": "regression"}, missing=0.2),
    Recipe(name="missing and zeros", parameters={"objective": "regression"}, missing=0.1, zeros=0.4),
    Recipe(name="zero as missing", parameters={"objective": "regression", "zero_as_missing": True}, zeros=0.3),
    Recipe(
        name="zero as missing, with NaN",
        parameters={"objective": "binary", "zero_as_missing": True},
        zeros=0.3,
        missing=0.2,
        label="binary",
    ),
    Recipe(name="no missing at all", parameters={"objective": "regression", "use_missing": False}, missing=0.2),
    Recipe(name="categorical", parameters={"objective": "regression"}, categorical=True, missing=0.1),
    Recipe(
        name="categorical, one against the rest",
        parameters={"objective": "regression", "max_cat_to_onehot": 100},
        categorical=True,
    ),
    Recipe(
        name="categorical multiclass",
        parameters={"objective": "multiclass", "num_class": 3, "num_leaves": 20},
        categorical=True,
        missing=0.1,
        label="three",
    ),
    Recipe(name="random forest", parameters={"objective": "regression", **RF}),
    Recipe(name="random forest, binary", parameters={"objective": "binary", **RF}, label="binary"),
    Recipe(
        name="random forest, multiclass",
        parameters={"objective": "multiclass", "num_class": 3, **RF},
        label="three",
        missing=0.1,
    ),
    Recipe(name="dart", parameters={"objective": "regression", "boosting": "dart", "drop_rate": 0.5}),
    Recipe(name="deep", parameters={"objective": "regression", "num_leaves": 200, "min_data_in_leaf": 1}),
    Recipe(
        name="deep, everything",
        parameters={"objective": "multiclass", "num_class": 3, "num_leaves": 90, "min_data_in_leaf": 1},
        label="three",
        missing=0.1,
        zeros=0.1,
        categorical=True,
        rounds=9,
    ),
    Recipe(name="32 leaves", parameters={"objective": "regression", "num_leaves": 32, "min_data_in_leaf": 1}),
    Recipe(name="33 leaves", parameters={"objective": "regression", "num_leaves": 33, "min_data_in_leaf": 1}),
    Recipe(
        name="more thresholds than a byte",
        parameters={
            "objective": "regression",
            "max_bin": 5000,
            "min_data_in_bin": 1,
            "min_data_in_leaf": 1,
            "extra_trees": True,
            "num_leaves": 32,
        },
        rounds=90,
        missing=0.05,
    ),
    Recipe(name="one tree", parameters={"objective": "regression"}, rounds=1),
    Recipe(name="stumps", parameters={"objective": "regression", "num_leaves": 2}, rounds=75),
    Recipe(name="one leaf", parameters={"objective": "regression", "min_data_in_leaf": 10_000}, rounds=3),
    Recipe(name="large values", parameters={"objective": "regression"}, scale=1e200),
    Recipe(name="subnormal values", parameters={"objective": "regression"}, scale=1e-310),
    Recipe(name="values near the zero threshold", parameters={"objective": "regression"}, scale=1e-35),
    Recipe(name="lambdarank", parameters={"objective": "lambdarank"}, label="three", dataset={"group": [50] * 10}),
    Recipe(name="extra trees", parameters={"objective": "regression", "extra_trees": True}, rounds=60),
)


def train(recipe: Recipe) -> tuple[Any, FloatArray]:
    """Return the booster and the rows it was trained on."""
    generator = np.random.default_rng(17)
    rows = generator.normal(size=(ROWS, FEATURES))
    signal = rows[:, 0] + rows[:, 1] * rows[:, 2] + 0.3 * generator.normal(size=ROWS)
    rows[:, CATEGORY_COLUMN] = generator.integers(0, CATEGORIES, ROWS) ** 2 % CATEGORIES
    signal += np.sin(rows[:, CATEGORY_COLUMN])
    rows[:, :CATEGORY_COLUMN] *= recipe.scale
    rows[generator.random(rows.shape) < recipe.zeros] = 0.0
    rows[generator.random(rows.shape) < recipe.missing] = np.nan
    label = {
        "real": signal,
        "positive": np.exp(0.5 * signal),
        "binary": (signal > 0.0).astype(float),
        "share": 1.0 / (1.0 + np.exp(-signal)),
        "classes": np.digitize(signal, [-1.0, 0.0, 1.0]).astype(float),
        "three": np.digitize(signal, [-0.7, 0.7]).astype(float),
    }[recipe.label]
    parameters = {"num_threads": 1, "verbosity": -1, "seed": 5, "deterministic": True, "min_data_in_leaf": 5}
    parameters |= recipe.parameters
    data = lightgbm.Dataset(
        rows,
        label=label,
        params=parameters,
        categorical_feature=[CATEGORY_COLUMN] if recipe.categorical else [],
        **recipe.dataset,
    )
    return lightgbm.train(parameters, data, num_boost_round=recipe.rounds), rows


def wild_rows(model: ForestModel, rows: FloatArray) -> FloatArray:
    """Return rows that meet every threshold: exactly, one step beside it, and with special values mixed in."""
    generator = np.random.default_rng(23)
    wild = np.concatenate([rows, generator.normal(size=rows.shape) * 10.0 ** generator.integers(-40, 40, rows.shape)])
    for feature in range(FEATURES):
        edges = model.thresholds[(model.features == feature) & (model.sets < 0)]
        if len(edges):
            edges = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])
            chosen = generator.random(len(wild)) < 0.4
            wild[chosen, feature] = generator.choice(edges, int(chosen.sum()))
    special = generator.random(wild.shape) < 0.1
    wild[special] = generator.choice(SPECIALS, int(special.sum()))
    wild[:, CATEGORY_COLUMN] = np.where(
        generator.random(len(wild)) < 0.5, generator.integers(-3, 200, len(wild)), wild[:, CATEGORY_COLUMN]
    )
    generator.shuffle(wild)
    return wild
