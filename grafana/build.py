"""From our values to Grafana's JSON: the home of grafana-foundation-sdk."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from typing import assert_never

from grafana_foundation_sdk.builders import common as commons
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.board import Board, Choice, Choices, Events, Look, Moments, Panel, Query, Step, Unit, Word

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "oomguard"
STAT_HEIGHT, GRAPH_HEIGHT = 4, 8
TO_HOST = "/d/oomguard-host?${datasource:queryparam}&var-job=${__data.fields.job}&var-instance=${__value.raw}"
"""From the name of a host in a table to its own dashboard."""


def text(board: Board, runbook: str) -> str:
    """`board` as a file; `runbook`: the address that the sections of the runbook are below."""
    built = _dashboard(board, runbook).build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _dashboard(board: Board, runbook: str) -> dashboards.Dashboard:
    made = (
        dashboards.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .time(board.span, "now")
        .refresh("30s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(_to_others())
        .link(_to_runbook("Runbook", ""))
        .with_variable(dashboards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(dashboards.ConstantVariable("runbook").label("Runbook").value(runbook))
    )
    for variable in board.variables:
        made.with_variable(_variable(variable))
    for marks in board.marks:
        made.annotation(_Annotation(marks))
    for row in board.rows:
        made.with_row(dashboards.Row(row.title))
        for panel in row.panels:
            made.with_panel(_panel(panel))
    return made


def _to_others() -> dashboards.DashboardLink:
    kind = dashboard.DashboardLinkType.DASHBOARDS
    return dashboards.DashboardLink("oomguard").type(kind).tags([TAG]).keep_time(True).include_vars(True)


def _to_runbook(title: str, section: str) -> dashboards.DashboardLink:
    address = f"${{runbook}}#{section}" if section else "${runbook}"
    kind = dashboard.DashboardLinkType.LINK
    return dashboards.DashboardLink(title).type(kind).url(address).icon("doc").target_blank(True)


def _variable(variable: Choice | Choices) -> Builder[dashboard.VariableModel]:
    made = (
        dashboards.QueryVariable(variable.name)
        .label(variable.label)
        .query(variable.query)
        .datasource(SOURCE)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )
    match variable:
        case Choice():
            return made
        case Choices():
            everything = dashboard.VariableOption(selected=True, text="All", value="$__all")
            # A label that nobody has matches as well.
            return made.multi(True).include_all(True).all_value(".*").current(everything)
        case _:
            assert_never(variable)


class _Annotation(Builder[dashboard.AnnotationQuery]):
    """Marks, with what the SDK's type has no field for."""

    def __init__(self, marks: Events | Moments) -> None:
        self._marks = marks

    def build(self) -> dashboard.AnnotationQuery:
        return _Titled(self._marks)


class _Titled(dashboard.AnnotationQuery):
    def __init__(self, marks: Events | Moments) -> None:
        super().__init__(name=marks.name, datasource=SOURCE, icon_color=marks.colour, expr=marks.expr)
        self._marks = marks

    def to_json(self) -> dict[str, object]:
        titled = {**super().to_json(), "titleFormat": self._marks.title, "step": "15s"}
        match self._marks:
            case Events():
                return titled
            case Moments():
                return {**titled, "useValueForTime": True}
            case _:
                assert_never(self._marks)


_Made = stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel


def _panel(panel: Panel) -> _Made:
    made = (
        _looking(panel)
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .links([_to_runbook("Runbook", panel.section)])
        .thresholds(_thresholds(panel.steps))
        .targets([_target(panel.look, name, query) for name, query in _named(panel.queries)])
    )
    if panel.words is not None:
        made.mappings([_mapping(panel.words)])
    return made


def _looking(panel: Panel) -> _Made:
    match panel.look:
        case Look.STAT:
            return _stat(common.BigValueTextMode.VALUE).decimals(_decimals(panel.unit))
        case Look.WORD:
            return _stat(common.BigValueTextMode.NAME)
        case Look.LINES:
            return _graph().fill_opacity(8).show_points(common.VisibilityMode.AUTO)
        case Look.BARS:
            stacked = commons.StackingConfig().mode(common.StackingMode.NORMAL)
            return _graph().draw_style(common.GraphDrawStyle.BARS).fill_opacity(70).stacking(stacked)
        case Look.TIMELINE:
            made = statetimeline.Panel().height(GRAPH_HEIGHT).show_value(common.VisibilityMode.NEVER)
            return made.color_scheme(_by_thresholds()).fill_opacity(80)
        case Look.TABLE:
            return _table()
        case _:
            assert_never(panel.look)


def _stat(mode: common.BigValueTextMode) -> stat.Panel:
    latest = commons.ReduceDataOptions().calcs(["lastNotNull"])
    made = stat.Panel().height(STAT_HEIGHT).text_mode(mode).reduce_options(latest)
    return made.graph_mode(common.BigValueGraphMode.NONE).color_scheme(_by_thresholds())


def _graph() -> timeseries.Panel:
    legend = commons.VizLegendOptions().placement(common.LegendPlacement.BOTTOM).show_legend(True)
    every = commons.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    return timeseries.Panel().height(GRAPH_HEIGHT).axis_soft_min(0).legend(legend).tooltip(every)


def _table() -> table.Panel:
    hidden = dashboard.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True, "__name__": True}}
    )
    to_host = [{"title": "This host", "url": TO_HOST}]
    largest = commons.TableSortByFieldState().display_name("Value").desc(True)
    return (
        table.Panel()
        .height(GRAPH_HEIGHT)
        .with_transformation(hidden)
        .override_by_name("instance", [dashboard.DynamicConfigValue("links", to_host)])
        .sort_by([largest])
    )


def _decimals(unit: Unit) -> int:
    return 0 if unit in {Unit.COUNT, Unit.STATE, Unit.SHARE} else 1


def _by_thresholds() -> dashboards.FieldColor:
    return dashboards.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS)


def _thresholds(steps: tuple[Step, ...]) -> dashboards.ThresholdsConfig:
    made = [dashboard.Threshold(value=step.value, color=step.colour) for step in steps]
    plain = [dashboard.Threshold(value=None, color="text")]
    return dashboards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made or plain)


def _mapping(words: Mapping[int, Word]) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        {str(n): dashboard.ValueMappingResult(text=word.text, color=word.colour) for n, word in words.items()}
    )


def _named(queries: tuple[Query, ...]) -> zip[tuple[str, Query]]:
    return zip(string.ascii_uppercase, queries, strict=False)


def _target(look: Look, name: str, query: Query) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(name)
    match look:
        case Look.STAT | Look.WORD:
            return made.instant()
        case Look.TABLE:
            return made.instant().format(PromQueryFormat.TABLE)
        case Look.LINES | Look.BARS | Look.TIMELINE:
            return made.range()
        case _:
            assert_never(look)
