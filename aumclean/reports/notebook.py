"""A run as a notebook shows it: what was found, the most suspect images, and the way to the page."""

from pathlib import Path

from aumclean.reports.html import page
from aumclean.reports.html.safety import environment
from aumclean.verdict.estimate import percent, said
from aumclean.verdict.judge import Verdict

TOP = 10

_TEMPLATE = """\
<div>
<p><strong>{{ summary.flagged | count }}</strong> of {{ summary.samples | count }} images in
{{ summary.classes }} classes are suspect; the noise rate is {{ noise_rate }}.
<a href="{{ link }}" target="_blank">The whole report</a></p>
{% for warning in summary.warnings %}
<p>Warning: {{ warning.message | name }}</p>
{% endfor %}
{% if rows %}
<table>
<thead><tr><th></th><th>path</th><th>label</th><th>looks like</th><th>wrong</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><td>
{%- if pictures.get(row["sample_id"]) %}<img alt="" src="data:image/jpeg;base64,{{ pictures.get(row["sample_id"]) }}">
{%- endif %}</td><td>{{ row["path"] | name }}</td><td>{{ row["label"] | name }}</td>
<td>{{ (row["suggested_label"] or "") | name }}</td><td>{{ percent(row["wrong_probability"]) }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
</div>
"""


def render(verdict: Verdict) -> str:
    """An HTML fragment with the ten most suspect images; every name in it is escaped."""
    rows, rate = page.flagged(verdict).slice(0, TOP).to_pylist(), verdict.summary.noise_rate
    return (
        environment()
        .from_string(_TEMPLATE)
        .render(
            summary=verdict.summary,
            percent=percent,
            noise_rate=said(rate.estimate, rate.low, rate.high),
            rows=rows,
            pictures=page.thumbnails(verdict, [row["sample_id"] for row in rows]),
            link=_link(verdict.run.html.absolute()),
        )
    )


def _link(file: Path) -> str:
    """From the folder that the notebook runs in, since browsers do not follow links from a server to files."""
    try:
        return file.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file.as_uri()
