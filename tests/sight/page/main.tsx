// A dashboard with the answers of all its queries (`told.js`), drawn by Grafana's components. The heat map and the
// table are ours: Grafana's own stand in no package, or do not stand alone.
import {
  DataFrame, Field, GrafanaTheme2, createTheme, dateTime, formattedValueToString, getDisplayProcessor, getFieldDisplayName,
  getValueFormat,
} from '@grafana/data';
import { BigValue, PanelChrome, ThemeContext, TimeSeries } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { Panel, Told, framesOf } from './fields';

declare global { interface Window { told: Told } }

const CELL = 30, GAP = 8, COLUMNS = 24, TOP = 64;
const ORANGES = ['#fff5eb', '#fee6ce', '#fdd0a2', '#fdae6b', '#fd8d3c', '#f16913', '#d94801', '#a63603', '#7f2704'];

type Size = { width: number; height: number };
type Drawn = Size & { panel: Panel; frames: DataFrame[]; told: Told; theme: GrafanaTheme2 };

function Lines({ panel, frames, told, width, height }: Drawn) {
  const range = { from: dateTime(told.from * 1000), to: dateTime(told.to * 1000) };
  const legend = { calcs: [], ...panel.options.legend };
  return <TimeSeries frames={frames} timeRange={{ ...range, raw: range } as any} timeZone="utc" width={width} height={height} legend={legend} />;
}

function Number({ panel, frames, theme, width, height }: Drawn) {
  const field = frames[0].fields[1];
  const shown = (field.display ?? getDisplayProcessor({ field, theme }))(field.values.filter((each) => each !== null).at(-1));
  return <BigValue theme={theme} value={shown} width={width} height={height} {...panel.options} sparkline={{ y: field, x: frames[0].fields[0] }} />;
}

function Listed({ panel, frames, width }: Drawn) {
  const [frame] = frames, [sort] = panel.options.sortBy, by = frame.fields.find((field) => named(field) === sort.displayName)!;
  const rows = Array.from({ length: frame.length }, (_, row) => row).sort((a, b) => (by.values[b] || 0) - (by.values[a] || 0));
  return <table style={{ width, fontSize: 14, borderSpacing: 0 }}>
    <thead><tr>{frame.fields.map((field, n) => <th key={n} align="left" style={{ padding: 6 }}>{named(field)}</th>)}</tr></thead>
    <tbody>{rows.map((row) => <tr key={row}>{frame.fields.map((field, n) => {
      const shown = field.display!(field.values[row]), coloured = field.config.custom?.cellOptions?.type === 'color-text';
      return <td key={n} style={{ padding: 6, borderTop: '1px solid #ddd', color: coloured ? shown.color : undefined }}>
        {formattedValueToString(shown)}</td>;
    })}</tr>)}</tbody>
  </table>;
}

const named = (field: Field) => getFieldDisplayName(field);

/** Of cumulative buckets, the highest on top; a cell without an answer is empty. */
function Heat({ panel, frames, told, width, height }: Drawn) {
  const bounds = frames.map((frame) => [frame.fields[1].labels!.le, frame.fields[1].values] as const)
    .sort(([a], [b]) => bound(a) - bound(b));
  const counts = bounds.map(([, values], row) =>
    values.map((value: number, at: number) => Math.max(0, (value ?? 0) - (row ? bounds[row - 1][1][at] ?? 0 : 0))));
  const used = counts.map((row) => row.some((each) => each > 1e-9));
  const first = used.indexOf(true), last = used.lastIndexOf(true), shown = last - first + 1;
  const most = Math.max(...counts.flat()), left = 60, each = (width - left) / counts[0].length, high = (height - 28) / shown;
  const unit = getValueFormat(panel.options.yAxis.unit);
  return <svg width={width} height={height} fontSize={12} fill="#555">
    {counts.slice(first, last + 1).map((row, number) => {
      const y = height - 20 - (number + 1) * high, le = bound(bounds[first + number][0]);
      return <g key={number}>
        <text x={left - 6} y={y + 4} textAnchor="end">{le < Infinity ? formattedValueToString(unit(le)) : '+Inf'}</text>
        {row.map((count, at) => count > 1e-9 &&
          <rect key={at} x={left + at * each} y={y} width={each - 1} height={high - 1} fill={colour(count / most)} />)}
      </g>;
    })}
    <Times told={told} left={left} width={width} y={height - 4} />
  </svg>;
}

/** A bar for each line, from when to when. */
function States({ frames, theme, told, width, height }: Drawn) {
  const left = 240, high = Math.min(26, (height - 24) / frames.length), each = (width - left) / frames[0].length;
  return <svg width={width} height={height} fontSize={12} fill="#555">
    {frames.map(({ fields: [, field] }, row) => <g key={row}>
      <text x={left - 6} y={row * high + high / 2 + 4} textAnchor="end">{field.config.displayNameFromDS}</text>
      {field.values.map((value: number | null, at: number) => value !== null &&
        <rect key={at} x={left + at * each} y={row * high + 2} width={each + 0.5} height={high - 4} fill={field.display!(value).color} />)}
    </g>)}
    <Times told={told} left={left} width={width} y={frames.length * high + 16} />
  </svg>;
}

function Times({ told, left, width, y }: { told: Told; left: number; width: number; y: number }) {
  const minutes = Array.from({ length: 60 }, (_, n) => (Math.ceil(told.from / 60) + n) * 60).filter((at) => at < told.to);
  return <>{minutes.map((at) => <text key={at} x={left + (width - left) * (at - told.from) / (told.to - told.from)} y={y} textAnchor="middle">
    {new Date(at * 1000).toISOString().slice(11, 19)}</text>)}</>;
}

const bound = (le: string) => (le === '+Inf' ? Infinity : parseFloat(le));
const colour = (share: number) => ORANGES[Math.min(ORANGES.length - 1, Math.floor(Math.sqrt(share) * ORANGES.length))];
const KINDS: Record<string, (drawn: Drawn) => any> = { timeseries: Lines, stat: Number, table: Listed, heatmap: Heat, 'state-timeline': States };

function Placed({ panel, frames, told, theme }: Omit<Drawn, 'width' | 'height'>) {
  const column = (window.innerWidth - GAP) / COLUMNS, { x, y, w, h } = panel.gridPos;
  const width = w * column - GAP, height = h * (CELL + GAP) - GAP;
  const place = { position: 'absolute', left: GAP + x * column, top: TOP + y * (CELL + GAP), width, height } as const;
  if (panel.type === 'row') {
    return <div style={{ ...place, fontSize: 16, fontWeight: 500, paddingTop: 6 }}>{panel.title}</div>;
  }
  const Kind = KINDS[panel.type], empty = !frames.some((frame) => frame.length);
  return <div style={place}>
    <PanelChrome title={panel.title} width={width} height={height}>
      {(innerWidth, innerHeight) => empty ? <>No data</> :
        <Kind panel={panel} frames={frames} told={told} theme={theme} width={innerWidth} height={innerHeight} />}
    </PanelChrome>
  </div>;
}

async function begin(told: Told) {
  const theme = createTheme({ colors: { mode: 'light' } });
  document.body.style.background = theme.colors.background.canvas;
  const frames = await Promise.all(told.board.panels.map((panel) => panel.type === 'row' ? [] : framesOf(panel, told, theme)));
  const chosen = Object.entries(told.values).map(([name, value]) => `${name}: ${value === '.*' ? 'All' : value}`).join('   ');
  createRoot(document.getElementById('page')!).render(<ThemeContext.Provider value={theme}>
    <div style={{ padding: '12px 16px', fontSize: 20, fontWeight: 500 }}>{told.board.title}
      <span style={{ fontSize: 13, fontWeight: 400, paddingLeft: 24, whiteSpace: 'pre' }}>{chosen}</span></div>
    {told.board.panels.map((panel, n) => <Placed key={panel.id} panel={panel} frames={frames[n]} told={told} theme={theme} />)}
  </ThemeContext.Provider>);
}

begin(window.told);
