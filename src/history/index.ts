import type { ServiceUrl } from '../config/url';
import { SettingError } from '../base/errors';
import type { HistorySink } from './history';
import { SETTING } from './shared/settings';

/**
 * Opens the sinks that HISTORY_URLS lists. Only the drivers that are needed are loaded, and none connects yet.
 * @throws SettingError if a URL or a template file is wrong
 */
export async function openHistory(urls: readonly ServiceUrl[]): Promise<HistorySink[]> {
  const sinks: HistorySink[] = [];
  try {
    for (const url of urls) sinks.push(await openSink(url));
    return sinks;
  } catch (error) {
    await Promise.all(sinks.map((sink) => sink.close()));
    throw error;
  }
}

async function openSink(url: ServiceUrl): Promise<HistorySink> {
  switch (url.scheme) {
    case 'influxdb': {
      const { InfluxDbSink } = await import('./influxdb/index.js');
      return new InfluxDbSink(url);
    }
    case 'opentsdb': {
      const { OpenTsdbSink } = await import('./opentsdb/index.js');
      return new OpenTsdbSink(url);
    }
    case 'timescale': {
      const { TimescaleSink } = await import('./timescale/index.js');
      return new TimescaleSink(url);
    }
    case 'clickhouse': {
      const { ClickHouseSink } = await import('./clickhouse/index.js');
      return new ClickHouseSink(url);
    }
    default:
      throw new SettingError(SETTING, `no history for ${url.scheme}://`);
  }
}
