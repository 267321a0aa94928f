"""Owns the table of the decision core's components: which modules each has, and in which test files its proofs stand.

A selection of tests is a file's name without its ending, which takes all tests of the file, or ``file::test`` for one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component of the behaviour document, sections 1 and 2."""

    name: str
    modules: tuple[str, ...]
    """Of ``walstreet.domain``."""
    properties: tuple[str, ...]
    """Selections of tests that Hypothesis drives; others among them are left out."""
    cases: tuple[str, ...]
    """Selections of unit tests; those without numbers worked by hand are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One property that must hold on a thousand generated cases at least."""

    name: str
    properties: tuple[str, ...]


ARBITER = "test_arbiter_components_properties"
BARRIER = "test_barrier_properties"
CYCLE = "test_cycle_properties"
FORMULAS = "test_cycle_formulas"
HEALTH = "test_health_properties"
HISTORY = "test_arbiter_replay_properties"
PROMISED = "test_core_promises_properties"
SPEED = "test_learning_speed_properties"
ZOO = "test_zoo_weights_properties"

CONFIDENCE_CASES = (
    f"{FORMULAS}::test_stability_of_a_horizon_by_hand",
    f"{FORMULAS}::test_confidence_of_a_forecast_by_hand",
)

COMPONENTS: tuple[Component, ...] = (
    Component(
        name="Standardise",
        modules=("standardise", "rolling_rows"),
        properties=("test_standardise_properties", f"{SPEED}::test_medians_of_past_scores_are_those_of_sorting"),
        cases=("test_standardise",),
    ),
    Component(
        name="Calibrate to bps, confidence",
        modules=("calibrate", "signals", "confidence"),
        properties=(
            "test_prefilter_properties::test_confidence_is_in_range_or_missing",
            "test_prefilter_properties::test_confidence_falls_with_age_size_and_error",
            "test_decision_kernels_properties::test_a_cycle_never_breaks_its_promises",
        ),
        cases=("test_confidence", "test_blend", "test_live_step::test_one_symbol_by_hand", *CONFIDENCE_CASES),
    ),
    Component(
        name="HorizonBlender",
        modules=("blend", "oof_weights"),
        properties=(
            f"{ARBITER}::test_blend_stays_between_its_models_and_needs_one",
            f"{ZOO}::test_blends_sum_to_one_per_symbol",
            f"{ZOO}::test_out_of_fold_weights_are_a_blend_and_follow_the_models",
        ),
        cases=("test_blend", "test_oof_weights"),
    ),
    Component(
        name="ZooBalancer",
        modules=("zoo_weights", "zoo_state", "zoo_parameters"),
        properties=(ZOO,),
        cases=("test_zoo_weights",),
    ),
    Component(
        name="Fixed-share Hedge",
        modules=("fixed_share",),
        properties=(f"{ZOO}::test_fixed_share_keeps_a_distribution_and_a_floor",),
        cases=("test_fixed_share",),
    ),
    Component(
        name="DriftHealth",
        modules=(
            "drift",
            "drift_bounds",
            "drift_evaluate",
            "drift_memory",
            "drift_parameters",
            "page_hinkley",
            "psi",
            "rank_ic",
        ),
        properties=("test_drift_properties", f"{SPEED}::test_health_learns_what_the_plain_formulas_give"),
        cases=("test_drift", "test_page_hinkley", "test_psi"),
    ),
    Component(
        name="StalenessGuard",
        modules=("freshness",),
        properties=(f"{ARBITER}::test_only_ages_between_zero_and_the_limit_are_fresh",),
        cases=("test_freshness",),
    ),
    Component(
        name="UniversePrefilter",
        modules=("prefilter", "prefilter_step", "confidence"),
        properties=("test_prefilter_properties",),
        cases=("test_prefilter", "test_confidence", *CONFIDENCE_CASES),
    ),
    Component(
        name="ConformalGate",
        modules=(
            "conformal",
            "conformal_alpha",
            "conformal_history",
            "conformal_learn",
            "conformal_mean",
            "conformal_parameters",
            "conformal_state",
            "isotonic",
        ),
        properties=(
            "test_conformal_properties",
            f"{SPEED}::test_intervals_keep_their_ranks",
            f"{SPEED}::test_levels_move_as_the_formula_says",
            f"{SPEED}::test_exchanging_is_sorting_anew",
        ),
        cases=(
            "test_conformal",
            "test_conformal_alpha",
            "test_conformal_history",
            "test_conformal_learn",
            "test_conformal_mean",
            "test_conformal_parameters",
            "test_conformal_statistics",
            "test_isotonic",
        ),
    ),
    Component(
        name="Cost model, learned correction",
        modules=("cost", "impact", "cost_learning"),
        properties=(
            f"{ARBITER}::test_costs_grow_with_spread_and_size",
            f"{ARBITER}::test_a_missing_market_fact_never_gives_a_cost",
            f"{PROMISED}::test_corrected_costs_grow_with_spread_and_size",
            "test_cost_learning_properties",
        ),
        cases=("test_cost", "test_cost_learning"),
    ),
    Component(
        name="HorizonArbiter",
        modules=("arbitrate",),
        properties=(f"{ARBITER}::test_arbitration_is_mirror_symmetric_and_never_flips",),
        cases=("test_arbitrate",),
    ),
    Component(
        name="HorizonArbiter2",
        modules=("meta_arbiter", "select_horizon", "horizon_learning"),
        properties=(
            "test_select_horizon_properties::test_choice_is_a_candidate_with_its_probability",
            "test_select_horizon_properties::test_choice_follows_the_symbols_and_ignores_the_sign",
        ),
        cases=("test_meta_arbiter", "test_select_horizon"),
    ),
    Component(
        name="Exp3-IX",
        modules=("exp3ix", "counter_random"),
        properties=(
            "test_select_horizon_properties::test_bandit_probabilities_stay_a_distribution_under_any_feedback",
        ),
        cases=("test_exp3ix", "test_counter_random"),
    ),
    Component(
        name="BarrierGate (soft)",
        modules=("barrier", "barrier_inputs"),
        properties=(
            f"{BARRIER}::test_rebasing_is_monotone_bounded_and_centred",
            f"{BARRIER}::test_the_gates_are_mirror_symmetric",
            f"{BARRIER}::test_the_gates_never_increase_exposure",
            f"{BARRIER}::test_the_soft_gate_is_monotone",
            f"{BARRIER}::test_gates_do_not_depend_on_the_order_of_symbols",
        ),
        cases=("test_barrier", "test_barrier_inputs"),
    ),
    Component(
        name="BarrierGates (hard), latched exits",
        modules=("barrier", "barrier_exits"),
        properties=(
            f"{BARRIER}::test_the_gates_are_mirror_symmetric",
            f"{BARRIER}::test_what_is_absent_triggers_nothing",
            f"{BARRIER}::test_latches_hold_and_stops_only_tighten",
            f"{BARRIER}::test_a_short_latches_and_stops_as_its_mirror_image_does",
            f"{BARRIER}::test_plans_do_not_depend_on_order_and_never_add_exposure",
        ),
        cases=("test_barrier", "test_barrier_exits"),
    ),
    Component(
        name="PositionSizer: plain, ridge, ERC, limits, band",
        modules=("size", "risk_weights", "limits", "band", "linear_solve"),
        properties=(
            f"{ARBITER}::test_limits_hold_and_only_scale_down",
            f"{ARBITER}::test_fixed_weights_are_untouched_and_never_made_worse",
            f"{ARBITER}::test_limits_do_not_depend_on_the_order_of_symbols",
            f"{ARBITER}::test_band_is_respected",
            f"{ARBITER}::test_sizing_is_mirror_symmetric_and_within_its_budget",
            f"{PROMISED}::test_the_cycle_keeps_to_its_band",
            "test_risk_weights_properties",
        ),
        cases=("test_size", "test_risk_weights", "test_linear_solve"),
    ),
    Component(
        name="CorrelationAwareRisk",
        modules=("correlation_risk", "covariance", "pair_moments", "shrinkage"),
        properties=("test_correlation_risk_properties",),
        cases=(
            "test_correlation_risk",
            "test_covariance",
            "test_shrinkage",
            f"{FORMULAS}::test_limits_come_before_clusters_and_those_before_volatility",
            f"{FORMULAS}::test_limits_run_again_behind_a_scaled_cluster",
        ),
    ),
    Component(
        name="renorm_weights",
        modules=("blend", "zoo_weights"),
        properties=(
            f"{ZOO}::test_weights_are_a_blend_or_nothing_and_renormalise_over_the_present",
            f"{ZOO}::test_blends_sum_to_one_per_symbol",
            "test_kernels_properties::test_blend_lies_between_the_models_that_answered",
            "test_kernels_properties::test_simplex_projection_satisfies_the_optimality_conditions",
        ),
        cases=("test_blend",),
    ),
    Component(
        name="NettingSuppression",
        modules=("netting", "book_memory", "cycle_orders"),
        properties=("test_netting_properties",),
        cases=(
            "test_netting",
            f"{FORMULAS}::test_quantities_by_hand",
            f"{FORMULAS}::test_the_part_to_flat_by_hand",
            f"{FORMULAS}::test_netting_is_asked_for_the_notional_of_whole_shares",
        ),
    ),
    Component(
        name="EventDrivenRebalancer, session rules",
        modules=("rebalance", "regime", "session_rules", "cycle_orders"),
        properties=("test_rebalance_properties",),
        cases=(
            "test_rebalance",
            "test_regime",
            "test_session_rules",
            "test_cycle_steps::test_a_drift_without_an_event_waits_for_the_sweep",
            "test_cycle_steps::test_a_far_drift_and_a_reduction_need_no_event",
        ),
    ),
    Component(
        name="ModeController",
        modules=("mode", "mode_causes"),
        properties=(
            f"{HEALTH}::test_causes_are_monotone_in_loss",
            f"{HEALTH}::test_a_gain_is_never_a_cause",
            f"{HEALTH}::test_exceptions_are_counted_in_the_trailing_window",
            f"{HISTORY}::test_every_history_keeps_the_rules",
        ),
        cases=("test_mode", "test_mode_causes"),
    ),
    Component(
        name="The cycle and its decision record",
        modules=(
            "cycle",
            "cycle_inputs",
            "cycle_gates",
            "cycle_book",
            "cycle_orders",
            "cycle_record",
            "decision_record",
        ),
        properties=(CYCLE, HISTORY, PROMISED),
        cases=("test_cycle_steps", "test_arbiter", FORMULAS),
    ),
    Component(
        name="Outcome events and learning",
        modules=("learning", "learning_parameters", "observations"),
        properties=(
            SPEED,
            "test_conformal_properties::test_the_future_changes_no_earlier_answer_and_replay_repeats_it",
        ),
        cases=("test_learning",),
    ),
    Component(
        name="TradingMonitor and verification checklist",
        modules=("monitor", "monitor_facts", "checklist", "gate_rates", "association", "reliability"),
        properties=(
            f"{HEALTH}::test_gates_hand_on_what_they_let_through",
            f"{HEALTH}::test_reliability_adds_and_stays_in_range",
            f"{HEALTH}::test_association_is_symmetric_and_in_range",
        ),
        cases=("test_monitor", "test_checklist"),
    ),
    Component(
        name="live_step (document 003)",
        modules=("live_step", "live_predictions"),
        properties=(
            f"{HEALTH}::test_live_step_is_mirror_symmetric",
            f"{HEALTH}::test_live_step_does_not_depend_on_the_order_of_symbols",
            f"{HEALTH}::test_live_step_keeps_document_003s_bounds",
        ),
        cases=("test_live_step",),
    ),
)
"""In the order of the pipeline: section 1, section 2, then what holds them together."""

PROMISES: tuple[Promise, ...] = (
    Promise(
        name="longs and shorts are mirror images",
        properties=(
            f"{CYCLE}::test_longs_and_shorts_are_mirror_images",
            f"{BARRIER}::test_the_gates_are_mirror_symmetric",
            "test_conformal_properties::test_negating_everything_swaps_buying_and_selling",
            "test_netting_properties::test_netting_is_mirror_symmetric",
            "test_rebalance_properties::test_the_triggers_are_mirror_symmetric",
            "test_risk_weights_properties::test_opposite_scores_give_exactly_opposite_weights",
            "test_standardise_properties::test_mirror_symmetry",
            f"{HEALTH}::test_live_step_is_mirror_symmetric",
        ),
    ),
    Promise(
        name="caps are never exceeded, after every stage",
        properties=(
            f"{CYCLE}::test_no_cap_is_exceeded_after_any_stage",
            f"{CYCLE}::test_the_book_keeps_to_its_volatility_and_its_clusters",
            "test_correlation_risk_properties::test_caps_hold_where_everything_moves",
        ),
    ),
    Promise(
        name="no gate increases exposure",
        properties=(
            f"{CYCLE}::test_no_gate_increases_exposure",
            f"{CYCLE}::test_a_blocked_gate_opens_nothing",
            f"{BARRIER}::test_the_gates_never_increase_exposure",
        ),
    ),
    Promise(name="the band is respected", properties=(f"{PROMISED}::test_the_cycle_keeps_to_its_band",)),
    Promise(
        name="blends sum to 1",
        properties=(
            f"{ZOO}::test_blends_sum_to_one_per_symbol",
            f"{ZOO}::test_weights_are_a_blend_or_nothing_and_renormalise_over_the_present",
        ),
    ),
    Promise(
        name="costs are monotone in size and spread",
        properties=(f"{PROMISED}::test_corrected_costs_grow_with_spread_and_size",),
    ),
    Promise(
        name="nothing comes out for a missing input",
        properties=(
            f"{CYCLE}::test_what_is_missing_is_never_bought",
            "test_conformal_properties::test_what_is_missing_does_not_pass_and_reaches_nobody_else",
            "test_correlation_risk_properties::test_a_missing_symbol_is_as_if_it_were_not_there",
            "test_risk_weights_properties::test_a_missing_symbol_is_as_if_it_were_not_there",
            "test_standardise_properties::test_scores_are_bounded_and_missing_stays_missing",
        ),
    ),
    Promise(
        name="a permutation of symbols permutes results",
        properties=(
            f"{CYCLE}::test_the_order_of_the_symbols_does_not_matter",
            "test_conformal_properties::test_the_order_of_symbols_changes_no_bit",
            "test_correlation_risk_properties::test_weights_follow_their_symbols",
            "test_netting_properties::test_netting_does_not_depend_on_the_order_of_symbols",
            "test_rebalance_properties::test_the_triggers_do_not_depend_on_the_order_of_symbols",
            "test_risk_weights_properties::test_weights_follow_their_symbols",
            f"{ZOO}::test_weights_follow_models_and_ignore_the_order_of_symbols",
        ),
    ),
    Promise(
        name="no look-ahead",
        properties=(
            "test_conformal_properties::test_the_future_changes_no_earlier_answer_and_replay_repeats_it",
            "test_drift_properties::test_no_evaluation_looks_ahead",
            "test_standardise_properties::test_no_look_ahead",
            f"{ZOO}::test_no_look_ahead",
        ),
    ),
)
