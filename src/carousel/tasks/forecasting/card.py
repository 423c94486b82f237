"""The model card that every saved forecaster carries, written from what is known and nothing else.

Reference: Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993.
"""

from __future__ import annotations

from importlib import metadata

from carousel.tasks.cards import option_lines, source_line
from carousel.tasks.forecasting.fitted import Fitted


def write_card(fitted: Fitted) -> str:
    """Returns the card as Markdown."""
    options, plan, about = fitted.options, fitted.plan, fitted.about
    low, high = about["rows_per_series"]
    parameters = sum(p.numel() for p in fitted.network.parameters())
    cycles = ", ".join(fitted.cycles) or "none"
    score = about["validation_pinball"]
    lines = [
        f"# Forecast of {options.target}, {options.horizon} steps of {fitted.frequency} ahead",
        "",
        f"An LSTM encoder and decoder with {parameters:,} parameters, trained by "
        f"carousel-lstm {metadata.version('carousel-lstm')} (torch {about['torch']}).",
        "",
        "## Data",
        "",
        source_line(about["source"]),
        f"- {about['data']}; {low:,} to {high:,} rows a series",
        f"- columns: series `{options.id_column}`, time `{options.time_column}`, "
        f"target `{options.target}`",
        f"- covariates: of the past {_names(fitted.covariates.past)}; known ahead "
        f"{_names(fitted.covariates.known)}; static {_names(fitted.covariates.static)}",
        "",
        "## Split",
        "",
        "Each series is cut by its own end: training, then validation, then holdout.",
        "",
        f"- training: {about['training_rows']:,} rows in all",
        f"- validation: {_validation(fitted)}",
        f"- holdout: {plan.holdout:,} steps of each series, never seen",
        "",
        "## What was chosen",
        "",
        f"- context: {plan.context:,} steps; season of the naive forecast: {plan.season:,} steps",
        f"- rows that the network reads in one step: {plan.patch}; values that it is told of each "
        f"row ahead: {' and '.join(f'{lag:,}' for lag in plan.lags)} steps before it",
        f"- forecasts are relative to {_anchor(plan.anchor)}",
        f"- the network sees {'the logarithm of the target' if plan.log else 'the target itself'}",
        f"- calendar cycles that the network reads: {cycles}",
        f"- quantiles: {', '.join(f'{q:g}' for q in options.quantiles)}",
        "",
        "## Training",
        "",
        f"- {about['steps']:,} steps in {about['minutes']:.1f} minutes, stopped by "
        f"{about['stop_reason']}; weights of step {about['best_step'] or about['steps']:,} kept",
        "- scaled pinball loss on the validation rows: "
        + (
            "not measured"
            if score is None
            else f"{score:.4f} (it chose the weights, so it flatters them)"
        ),
        "",
        "How good the forecasts are on rows that nothing was chosen on, and whether they beat the "
        "naive ones, is what `carousel evaluate` says.",
        "",
        *option_lines(options, about["run"]),
    ]
    return "\n".join(lines)


def _validation(fitted: Fitted) -> str:
    steps = fitted.plan.validation
    rows = fitted.about["validation"] or (f"{steps:,} steps of each series" if steps else "")
    return f"{rows}, which chose the weights" if rows else "none; the last weights were kept"


def _anchor(distance: int) -> str:
    return "the last value" if distance == 1 else f"the value {distance:,} steps before"


def _names(names: tuple[str, ...] | None) -> str:
    return ", ".join(f"`{name}`" for name in names) if names else "none"
