// Prometheus' answers as Grafana's frames, with the fields' settings of a panel: what its data source and its panels do.
import {
  ConfigOverrideRule, DataFrame, FieldConfigOptionsRegistry, FieldConfigPropertyItem, FieldConfigSource, FieldType,
  GrafanaTheme2, applyFieldOverrides, identityOverrideProcessor, standardTransformers, toDataFrame,
} from '@grafana/data';
import { lastValueFrom, of } from 'rxjs';

export type Series = { metric: Record<string, string>; values?: [number, string][]; value?: [number, string] };
export type Target = { refId: string; expr: string; legendFormat: string; format?: string };
export type Panel = {
  id: number; title: string; type: string; targets: Target[]; options: any; transformations?: any[];
  gridPos: { x: number; y: number; w: number; h: number }; fieldConfig: FieldConfigSource;
};
export type Told = {
  board: { title: string; panels: Panel[] }; values: Record<string, string>; answers: Record<string, Series[]>;
  from: number; to: number; step: number;
};

const OWN = ['unit', 'min', 'max', 'decimals', 'color', 'thresholds', 'links', 'displayName', 'mappings', 'noValue'];
const CUSTOM = [
  'lineWidth', 'fillOpacity', 'showPoints', 'stacking', 'thresholdsStyle', 'lineStyle', 'drawStyle', 'lineInterpolation',
  'axisSoftMax', 'align', 'cellOptions', 'filterable', 'inspect',
];
const DRAWN = { drawStyle: 'line', lineInterpolation: 'linear', scaleDistribution: { type: 'linear' }, axisPlacement: 'auto' };

const item = (path: string, isCustom: boolean): FieldConfigPropertyItem => ({
  id: isCustom ? `custom.${path}` : path, path, isCustom, name: path, description: '', editor: () => null as any,
  override: () => null as any, process: identityOverrideProcessor as any, shouldApply: () => true,
});
const registry = new FieldConfigOptionsRegistry(
  () => [...OWN.map((name) => item(name, false)), ...CUSTOM.map((name) => item(name, true))]);

const drawable = (value?: number) => (value !== undefined && Number.isFinite(value) ? value : null);
const words = (format: string, metric: Record<string, string>) =>
  format.replace(/{{\s*(\w+)\s*}}/g, (_, name) => metric[name] ?? '');

/** The frames of a panel: one for each series, or a table; a hole where Prometheus has no sample. */
export async function framesOf(panel: Panel, told: Told, theme: GrafanaTheme2): Promise<DataFrame[]> {
  const raw = panel.targets.flatMap((target) => {
    const answers = told.answers[`${panel.id}${target.refId}`];
    return target.format === 'table' ? [tableOf(target, answers)] : answers.map((each) => lineOf(target, each, told));
  });
  const config = structuredClone(panel.fieldConfig);
  if (panel.type === 'timeseries') {
    config.defaults.custom = { ...DRAWN, ...config.defaults.custom };
    config.defaults.color ??= { mode: 'palette-classic' };
  }
  const merged = panel.transformations ? await transformed(raw, panel.transformations) : raw;
  return applyFieldOverrides({
    data: merged, fieldConfig: config, fieldConfigRegistry: registry, theme, timeZone: 'utc',
    replaceVariables: (text: string) => text,
  });
}

function lineOf(target: Target, series: Series, told: Told): DataFrame {
  const known = new Map(series.values!.map(([at, value]) => [Math.round(at / told.step), Number(value)]));
  const first = Math.round(told.from / told.step), last = Math.round(told.to / told.step);
  const times = Array.from({ length: last - first + 1 }, (_, n) => first + n);
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: times.map((at) => at * told.step * 1000) },
      {
        name: 'Value', type: FieldType.number, values: times.map((at) => drawable(known.get(at))), labels: series.metric,
        config: { displayNameFromDS: words(target.legendFormat, series.metric) },
      },
    ],
  });
}

function tableOf(target: Target, answers: Series[]): DataFrame {
  const labels = [...new Set(answers.flatMap((each) => Object.keys(each.metric)))].sort().reverse();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: answers.map((each) => each.value![0] * 1000) },
      ...labels.map((name) => ({ name, type: FieldType.string, values: answers.map((each) => each.metric[name]) })),
      { name: `Value #${target.refId}`, type: FieldType.number, values: answers.map((each) => Number(each.value![1])) },
    ],
  });
}

async function transformed(frames: DataFrame[], steps: any[]): Promise<DataFrame[]> {
  const known: Record<string, any> = {
    merge: standardTransformers.mergeTransformer, organize: standardTransformers.organizeFieldsTransformer,
  };
  const context = { interpolate: (text: string) => text };
  for (const step of steps) {
    frames = await lastValueFrom(of(frames).pipe(known[step.id].operator(step.options, context)));
  }
  return frames;
}
