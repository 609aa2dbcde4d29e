// What the dashboard's two libraries put into the page, by the types of the very versions that are vendored.
import type * as graphqlWsModule from 'graphql-ws';
import type uPlotClass from 'uplot';

declare global {
  const graphqlWs: typeof graphqlWsModule;
  const uPlot: typeof uPlotClass;
  type uPlot = uPlotClass;
  namespace uPlot {
    type AlignedData = uPlotClass.AlignedData;
    type Axis = uPlotClass.Axis;
    type Series = uPlotClass.Series;
  }
}
