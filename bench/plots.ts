import * as echarts from "echarts";

interface Series {
  name: string;
  values: number[];
}

/** Grouped bars as SVG text, the value above each bar; drawn without a browser. */
export function bars(axis: string, labels: readonly string[], series: Series[], scale?: "log"): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 720, height: 340 });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: "sans-serif" },
    legend: series.length > 1 ? { top: 8 } : { show: false },
    grid: { left: 64, right: 24, top: 56, bottom: 40 },
    xAxis: { type: "category", data: [...labels], axisTick: { show: false } },
    yAxis: { type: scale ?? "value", name: axis, nameTextStyle: { align: "left" } },
    series: series.map(({ name, values }) => ({
      name,
      type: "bar",
      barMaxWidth: 72,
      label: {
        show: true,
        position: "top",
        formatter: ({ value }: { value: unknown }) => short(Number(value)),
      },
      data: values,
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

const short = (value: number) =>
  value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
