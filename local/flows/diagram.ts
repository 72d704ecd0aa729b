import type { Exported } from "./activities.ts";
import { uuidOf } from "./identity.ts";

/** Pixels of the canvas. */
const COLUMN = 240;
const ROW = 160;
const WIDTH = 165;
const FIRST_PORT = 14;
const NEXT_PORT = 34;

export interface Link {
  id: string;
  sourceActivityId: string;
  targetActivityId: string;
  conditionExpr: string;
  properties: { value: string };
}

export interface Diagram {
  widgets: Record<string, object>;
  properties: object;
}

interface Place {
  id: string;
  x: number;
  y: number;
}

/** Draws the activities in columns, each as many links away from the start as its column. */
export function draw(activities: ReadonlyMap<string, Exported>, links: readonly Link[]): Diagram {
  const places = placesOf([...activities.keys()], links);
  const placeOf = (id: string) => places.get(id) ?? { id, x: 0, y: 0 };
  const boxes = [...activities].map(([id, activity]) => {
    const incoming = links.filter((link) => link.targetActivityId === id);
    const outgoing = links.filter((link) => link.sourceActivityId === id);
    return [id, box(placeOf(id), activity, incoming, outgoing)] as const;
  });
  const arrows = links.map((link) => {
    const siblings = links.filter(({ sourceActivityId }) => sourceActivityId === link.sourceActivityId);
    const from = outPort(placeOf(link.sourceActivityId), siblings.indexOf(link));
    return [link.id, arrow(link, from, inPort(placeOf(link.targetActivityId)))] as const;
  });
  return {
    widgets: Object.fromEntries([...boxes, ...arrows]),
    properties: { offsetX: 0, offsetY: 0, zoom: 100, gridSize: 20 },
  };
}

function placesOf(ids: readonly string[], links: readonly Link[]): Map<string, Place> {
  const columns = new Map(ids.slice(0, 1).map((first) => [first, 0]));
  for (const [id, column] of columns)
    for (const { sourceActivityId, targetActivityId } of links)
      if (sourceActivityId === id && !columns.has(targetActivityId))
        columns.set(targetActivityId, column + 1);
  const rows = new Map<number, number>();
  return new Map(
    ids.map((id) => {
      const column = columns.get(id) ?? 0;
      const row = rows.get(column) ?? 0;
      rows.set(column, row + 1);
      return [id, { id: widgetOf(id), x: column * COLUMN, y: row * ROW }];
    }),
  );
}

const widgetOf = (id: string) => uuidOf(`widget ${id}`);
const inPort = ({ id, x, y }: Place) => ({ ...portOf(id, "in"), x: x - 9, y: y + FIRST_PORT });
const outPort = ({ id, x, y }: Place, index: number) => ({
  ...portOf(id, String(index)),
  x: x + WIDTH,
  y: y + FIRST_PORT + index * NEXT_PORT,
});
const portOf = (widget: string, name: string) => ({ id: uuidOf(`port ${widget} ${name}`), widget });
type Port = ReturnType<typeof inPort>;

function box(
  place: Place,
  { group, properties }: Exported,
  incoming: readonly Link[],
  outgoing: readonly Link[],
) {
  const entry = port(inPort(place), "in", incoming);
  const exits = outgoing.map((link, index) => port(outPort(place, index), link.conditionExpr, [link]));
  return {
    id: place.id,
    type: group,
    widgetType: "activity",
    label: "New Activity Widget in Diagram",
    point: { x: place.x, y: place.y },
    ports: incoming.length > 0 ? [entry, ...exits] : exits,
    properties,
  };
}

function port({ id, x, y }: Port, name: string, links: readonly Link[]) {
  const entry = name === "in";
  return {
    portId: id,
    isSourcePort: entry,
    linkId: links[0] ? widgetOf(links[0].id) : null,
    type: "arrow",
    links: links.map((link) => widgetOf(link.id)),
    properties: { x, name, y, label: name, alignment: entry ? "left" : "right" },
  };
}

function arrow(link: Link, from: Port, to: Port) {
  const end = ({ id, widget, x, y }: Port) => ({ id, activeWidgetId: widget, point: { x, y } });
  const point = ({ x, y }: Port, which: string) => ({
    id: uuidOf(`${which} ${link.id}`),
    type: "point",
    x,
    y,
  });
  const colour = "var(--mds-color-theme-outline-theme-normal)";
  return {
    id: widgetOf(link.id),
    type: "arrow",
    widgetType: "link",
    label: link.conditionExpr,
    properties: {
      curvyness: 50,
      selected: false,
      color: colour,
      points: [point(from, "from"), point(to, "to")],
      width: 2,
      selectedColor: colour,
    },
    points: [],
    sourcePort: end(from),
    targetPort: end(to),
  };
}
