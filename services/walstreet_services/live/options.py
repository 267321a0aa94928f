"""Owns the configuration of document 002 as dictionaries: its names, checked, and the settings that they become here.

docs/LIVE_TRADING.md lists them. Nothing is passed over: a key that is not known, or a value that has no meaning here,
is refused with the key's name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from walstreet.adapters.model_zoo import read_manifest
from walstreet.domain.cost import LINEAR_COEFFICIENTS
from walstreet.domain.model_manifest import ManifestError
from walstreet.domain.units import HORIZONS_MINUTES, SESSION_MINUTES
from walstreet.domain.virtual_books import HOUSE
from walstreet.runtime.config import Tree, merge, nested
from walstreet.runtime.errors import UsageError

ARBITER_KEYS: dict[str, str] = {
    "g_min": "barrier.gate_min",
    "gamma": "barrier.gamma",
    "delta": "barrier.delta",
    "z_max": "size.z_max",
    "target_gross": "size.gross_target",
    "max_weight": "limits.name_cap",
    "no_trade_band": "band.band_max",
}
"""Keys of document 002 that are one parameter of section ``arbiter``."""
COST_KEYS = ("k1", "k2", "k3")
STRATEGY_KEYS = ("name", "capital_share", "alpha_sign", "symbols", "horizons", "arbiter", *ARBITER_KEYS, *COST_KEYS)
"""What may differ from strategy to strategy; everything else belongs to the account."""
UP_KEYS = ("market", "data", "day", "minutes", "speed", "seed", "planted", "cash", "broker_library")
"""Arguments of `walstreet up`, under their names there."""
ACCOUNT_KEYS = (
    "model_dir", "blender_dir", "device", "update_interval", "state", "settings", "url", "credentials", *UP_KEYS,
)  # fmt: skip
KEYS = (*STRATEGY_KEYS, *ACCOUNT_KEYS)
DEFAULT_MODELS = "models"
SINGLE = "main"
"""Name of the strategy of a system that trades alone and was given horizons of its own."""

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the runtime is started, or reached."""

    arguments: tuple[str, ...]
    """Of `walstreet up`, without state folder, configuration and summary."""
    layer: Tree
    """Settings on top of all files."""
    strategies: tuple[str, ...]
    """Names of the strategies; empty where one arbiter trades the whole account."""
    opening: str
    """As in ``strategies.opening``."""
    state: str
    """Folder that was asked for, empty for a new one."""
    url: str
    """Log of a running deployment to attach to; empty starts a session."""
    credentials: str


def plan_system(config: Config) -> Plan:
    """Return the plan of one system that has the account to itself.

    Raises:
        UsageError: A key or value that cannot be used.
    """
    _require_known(config, "config")
    models = str(config.get("model_dir", DEFAULT_MODELS))
    alone = not (_horizons(config, models) or config.keys() & {"name", "capital_share", "alpha_sign"})
    if not alone:
        return plan_manager([{"name": SINGLE, "capital_share": 1.0, **config}])
    layer = merge(_account_layer(config), {"arbiter": _arbiter_layer(config)})
    return _plan(config, layer, _symbols(config), ())


def plan_manager(configs: Sequence[Config], account: Config | None = None) -> Plan:
    """Return the plan of several strategies in one account.

    Args:
        configs: One for each strategy. What belongs to the account may stand in any of them, with one value.
        account: The same, apart from the strategies.

    Raises:
        UsageError: A key or value that cannot be used, or two configurations that contradict each other.
    """
    if not configs:
        raise UsageError("LiveTradingManager needs at least one configuration, got none")
    shared: dict[str, Any] = {}
    for number, config in enumerate([*configs, account or {}], start=1):
        place = f"configs[{number - 1}]" if number <= len(configs) else "account"
        _require_known(config, place)
        for key in ACCOUNT_KEYS:
            if key in config and shared.setdefault(key, config[key]) != config[key]:
                raise UsageError(
                    f"{place}: {key} is {config[key]!r}, another configuration says {shared[key]!r}; it belongs to the "
                    "account, so give it once"
                )
    strange = sorted((account or {}).keys() & set(STRATEGY_KEYS))
    if strange:
        raise UsageError(f"account: {', '.join(strange)} belong to a strategy; put them into its configuration")
    models = str(shared.get("model_dir", DEFAULT_MODELS))
    members = [_member(config, number, len(configs), models) for number, config in enumerate(configs, start=1)]
    # A strategy without symbols trades all of the session, so that the session cannot be narrowed for the others.
    every = all("symbols" in config for config in configs)
    symbols = tuple(dict.fromkeys(symbol for config in configs for symbol in _symbols(config))) if every else ()
    layer = merge(_account_layer(shared), {"strategies": {"members": members}})
    return _plan(shared, layer, symbols, tuple(member["name"] for member in members))


def _member(config: Config, number: int, count: int, models: str) -> Tree:
    return {
        "name": str(config.get("name", f"strategy-{number}")),
        "capital_share": _number(config, "capital_share", 1.0 / count),
        "symbols": list(_symbols(config)),
        "horizons_minutes": list(_horizons(config, models)),
        "alpha_sign": config.get("alpha_sign", 1),
        "arbiter": _arbiter_layer(config),
    }


def _plan(config: Config, layer: Tree, symbols: tuple[str, ...], strategies: tuple[str, ...]) -> Plan:
    if "url" in config and (found := [key for key in (*UP_KEYS, "state") if key in config]):
        raise UsageError(f"url attaches to a deployment that runs already; remove {', '.join(found)}")
    arguments: list[str] = []
    for key in UP_KEYS:
        if key in config:
            arguments += [f"--{key.replace('_', '-')}", str(config[key])]
    if symbols:
        arguments += ["--symbols", ",".join(symbols)]
    return Plan(
        arguments=tuple(arguments),
        layer=layer,
        strategies=strategies,
        opening=str(layer.get("strategies", {}).get("opening", HOUSE)),
        state=str(config.get("state", "")),
        url=str(config.get("url", "")),
        credentials=str(config.get("credentials", "")),
    )


def _require_known(config: Config, place: str) -> None:
    for key in config:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(KEYS)}"
            raise UsageError(f"{place}: unknown key {key!r}; {remedy} docs/LIVE_TRADING.md describes them")


def _symbols(config: Config) -> tuple[str, ...]:
    given = config.get("symbols", ())
    if isinstance(given, str) or not all(isinstance(symbol, str) and symbol for symbol in given):
        raise UsageError(f"symbols is {given!r}; it takes a list of names, such as ['AAPL', 'MSFT']")
    return tuple(given)


def _horizons(config: Config, models: str) -> tuple[int, ...]:
    """Return the horizons asked for in minutes; empty where they are all that the models have.

    Raises:
        UsageError: One that is no horizon, or none of which a model exists.
    """
    given = config.get("horizons")
    if given is None:
        return ()
    wanted = tuple(dict.fromkeys(_minutes(text) for text in given))
    try:
        known = {entry.horizon_minutes for entry in read_manifest(Path(models)).models}
    except ManifestError as error:
        raise UsageError(f"model_dir: {error}") from error
    found = tuple(minutes for minutes in wanted if minutes in known)
    if not found:
        raise UsageError(f"horizons {list(given)}: the models in {models} have {sorted(known)} minutes only")
    return () if known == set(found) else found


def _minutes(text: object) -> int:
    name = str(text)
    number, unit = name[:-1], name[-1:]
    minutes = int(number) * {"m": 1, "d": SESSION_MINUTES}.get(unit, 0) if number.isascii() and number.isdigit() else 0
    if minutes not in HORIZONS_MINUTES:
        raise UsageError(f"horizons: {text!r} is none; allowed are 5m, 10m, 15m, 30m, 60m, 120m, 1d, 5d and 20d")
    return minutes


def _arbiter_layer(config: Config) -> Tree:
    layer: Tree = {}
    for key, path in ARBITER_KEYS.items():
        if key in config:
            layer = merge(layer, nested(path.split("."), _number(config, key, 0.0)))
    if any(key in config for key in COST_KEYS):
        layer = merge(layer, {"cost": {"model": "linear", "linear_coefficients": _coefficients(config)}})
    own = config.get("arbiter", {})
    if not isinstance(own, Mapping):
        raise UsageError(f"arbiter is {own!r}; it takes the keys of that section of docs/CONFIGURATION.md")
    return merge(layer, dict(own))


def _coefficients(config: Config) -> str:
    given = tuple(config.get(key) for key in COST_KEYS)
    for name, (*coefficients, _) in LINEAR_COEFFICIENTS.items():
        if all(value is None or value == known for value, known in zip(given, coefficients, strict=True)):
            return name
    sets = "; ".join(f"{name} {values[:3]}" for name, values in LINEAR_COEFFICIENTS.items())
    raise UsageError(f"k1, k2, k3 are {given}; a linear cost has one of the named sets: {sets}")


def _account_layer(config: Config) -> Tree:
    if config.get("device", "cpu") != "cpu":
        raise UsageError(f"device is {config['device']!r}; models run on the processor here, so it is 'cpu'")
    models = config.get("model_dir")
    blenders = config.get("blender_dir")
    if blenders is not None and blenders != (models or DEFAULT_MODELS):
        raise UsageError(
            f"blender_dir is {blenders!r}; the weights of the blend stand in the manifest of model_dir, so it is that "
            "folder, or is left out"
        )
    layer: Tree = {} if models is None else {"inference": {"folder": str(models)}}
    if "update_interval" in config:
        layer = merge(layer, {"gateway": {"bar_s": config["update_interval"]}})
    more = config.get("settings", {})
    if not isinstance(more, Mapping):
        raise UsageError(f"settings is {more!r}; it takes sections and keys of docs/CONFIGURATION.md")
    return merge(layer, dict(more))


def _number(config: Config, key: str, default: float) -> float:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{key} is {value!r}; it takes a number")
    return float(value)
