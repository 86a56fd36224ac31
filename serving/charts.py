"""Charts of the published market and of one creator, for a person to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.creator import Creator
from models.interactions import Floats
from models.market import Market
from serving.schemas import Slate, Trends

if TYPE_CHECKING:
    import pandas as pd

BLUE: Final = "#2563eb"
ORANGE: Final = "#ea580c"
GREY: Final = "#9ca3af"
STAGES: Final = ("emerging", "rising", "peaking", "declining", "evergreen")
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def rising(trends: Trends, columns: int = 4) -> Any:
    """A sparkline per trend: posts a day over the last 28 days, the strongest burst first."""
    rows = max(-(-len(trends.trends) // columns), 1)
    figure, panels = _panels(rows, columns, (12, 1.5 * rows))
    for axes, trend in zip(panels, trends.trends, strict=False):
        uses = [count for _, count in trend.daily_uses]
        burst = {e.name: e.value for e in trend.evidence}.get("burst", float("nan"))
        axes.fill_between(range(len(uses)), uses, color=BLUE, alpha=0.25, linewidth=0)
        axes.plot(uses, color=BLUE, linewidth=1.2)
        axes.set_title(f"{_label(trend.title, trend.kind)}\n{trend.stage}, {burst:+.1f} σ", fontsize=8, loc="left")
        axes.set(xticks=[], yticks=[0, max(uses)])
    for axes in panels[len(trends.trends) :]:
        axes.set_axis_off()
    figure.suptitle(f"What is rising as of {trends.as_of:%Y-%m-%d}: posts a day, 28 days")
    return figure


def stages(market: Market) -> Any:
    """Bars: how many live trends of each kind are at each stage of the published rule."""
    figure, (axes,) = _panels(1, 1, (8, 3.2))
    left = np.zeros(len(STAGES))
    for kind, colour in (("hashtag", BLUE), ("sound", ORANGE)):
        counts = np.array([((market.stages == stage) & (market.types == kind)).sum() for stage in STAGES], float)
        axes.barh(STAGES, counts, left=left, color=colour, label=f"{kind}s")
        left += counts
    axes.invert_yaxis()
    axes.set(xlabel="live trends", title="Where trends are in their lives")
    axes.legend()
    return figure


def trend_history(market: Market, key: str) -> Any:
    """Bars: one trend's posts a day; the last three days stand against the mean of all, as its burst does.

    Raises:
        KeyError: it is not live.
    """
    row = market.row_of[key]
    uses = market.daily_uses[row]
    days = [market.as_of - timedelta(days=len(uses) - 1 - day) for day in range(len(uses))]
    figure, (axes,) = _panels(1, 1, (10, 3.2))
    axes.bar(days, uses, color=[*[BLUE] * (len(uses) - 3), *[ORANGE] * 3], width=0.8)
    axes.axhline(uses.mean(), color=GREY, linestyle=":", label=f"mean of {len(uses)} days")
    burst, velocity = market.column("burst")[row], market.column("velocity_7d")[row]
    axes.set(
        ylabel="posts a day",
        title=f"{_label(market.names[row], market.types[row])}: {market.stages[row]}, "
        f"burst {burst:+.1f} σ, velocity {velocity:+.1%} a day",
    )
    axes.legend()
    return figure


def mix(market: Market, most: int = 8) -> Any:
    """Bars: uses of the last week by region and by kind."""
    weight = market.column("uses_7d")
    figure, (regions, kinds) = _panels(1, 2, (10, 3))
    by_region = weight @ market.region_shares
    order = np.argsort(-by_region, kind="stable")[:most]
    _shares(regions, {market.region_codes[i]: float(by_region[i]) for i in order}, "Uses of the week by region")
    generic = ~market.recommendable
    by_kind = {
        "hashtags": float(weight[(market.types == "hashtag") & ~generic].sum()),
        "generic hashtags": float(weight[(market.types == "hashtag") & generic].sum()),
        "sounds": float(weight[market.types == "sound"].sum()),
    }
    _shares(kinds, by_kind, "Uses of the week by kind")
    return figure


def habits(creator: Creator) -> Any:
    """Bars: when a creator posts, by hour of day (UTC) and by weekday."""
    figure, (hours, weekdays) = _panels(1, 2, (12, 3))
    hours.bar(range(24), creator.hour_profile, color=BLUE)
    hours.set(xlabel="hour, UTC", ylabel="share of posts", xticks=range(0, 24, 3), title="Hours")
    weekdays.bar(WEEKDAYS, creator.weekday_profile, color=BLUE)
    cadence = creator.column("cadence")
    weekdays.set(
        title=f"Weekdays: {cadence:.1f} posts a day, {creator.column('days_since_post'):.1f} days since the last"
    )
    figure.suptitle(creator.creator_id.replace("$", r"\$"))
    return figure


def taste(creator: Creator, market: Market, most: int = 12) -> Any:
    """Bars: the live trends that lie closest to a creator's taste, those used already in grey."""
    likeness = np.where(market.recommendable, market.taste @ creator.taste, -np.inf)
    best = np.argsort(-likeness, kind="stable")[:most]
    used = set(creator.rows_used(market))
    figure, (axes,) = _panels(1, 1, (8, 0.3 * most + 0.8))
    names = [_label(market.names[row], market.types[row]) for row in best]
    axes.barh(range(len(best)), likeness[best], color=[GREY if row in used else BLUE for row in best])
    axes.set_yticks(range(len(best)), names)
    axes.invert_yaxis()
    axes.set(xlabel="cosine of taste", title="Closest to this creator's taste (grey: used already)")
    return figure


def slate_table(slate: Slate) -> pd.DataFrame:
    """A slate as a table: one row per item, its reasons in words."""
    import pandas as pd

    rows = [
        {
            "rank": item.rank,
            "trend": _title(item.title, item.kind),
            "by": item.author or "",
            "score": item.score,
            "fit": item.fit,
            "heat": item.heat,
            "stage": item.stage,
            "why": "; ".join(item.reasons),
        }
        for item in slate.items
    ]
    return pd.DataFrame(rows, columns=["rank", "trend", "by", "score", "fit", "heat", "stage", "why"]).set_index("rank")


def _title(name: str, kind: str) -> str:
    return f"#{name}" if kind == "hashtag" else f"♪ {name}"


def _label(name: str, kind: str) -> str:
    """A title that matplotlib does not take for a formula: names have dollar signs in them."""
    return _title(name, kind).replace("$", r"\$")


def _shares(axes: Any, amounts: Mapping[str, float], title: str) -> None:
    total = sum(amounts.values()) or 1.0
    shares: Floats = np.array(list(amounts.values())) / total
    axes.barh(list(amounts), shares, color=BLUE)
    axes.invert_yaxis()
    axes.set(xlabel="share", title=title)


def _panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Sequence[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels
