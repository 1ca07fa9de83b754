import { Client, type DseClientOptions, type Host, type HostMap } from 'cassandra-driver';

/** Members that the driver's types leave out. */
interface Connection {
  closeAsync(): Promise<void>;
}
type OpenHost = Host & { shutdown(waitForPending: boolean): Promise<void> };
interface ControlConnection {
  readonly connection: Connection | null;
  readonly hosts: HostMap & { set(address: string, host: OpenHost): void };
  _createConnection(contactPoint: string): Promise<Connection>;
}
type OpenClient = Client & { readonly controlConnection: ControlConnection };

/**
 * The driver's client. It closes what the driver leaves open: the first connection of each attempt if it rejects the
 * cluster (for example a wrong data center); everything if it is shut down while it connects; and hosts that were
 * replaced after an outage, to which the driver would reconnect for ever.
 */
export class Session {
  private readonly client: Client;
  private readonly control: ControlConnection;
  private readonly opened = new Set<Connection>();
  /** All hosts there ever were. Each outage adds a few. */
  private readonly hosts = new Set<OpenHost>();
  private connecting: Promise<void> | null = null;
  private closed = false;

  constructor(options: DseClientOptions) {
    this.client = new Client(options);
    this.control = (this.client as OpenClient).controlConnection;
    const { hosts } = this.control;
    const set = hosts.set.bind(hosts);
    hosts.set = (address, host) => {
      this.hosts.add(host);
      set(address, host);
    };
    const create = this.control._createConnection.bind(this.control);
    this.control._createConnection = async (contactPoint) => {
      const connection = await create(contactPoint);
      this.opened.add(connection);
      return connection;
    };
  }

  /** Connects at the first call, and again at the first call after a failure. */
  async connected(): Promise<Client> {
    this.connecting ??= this.connect();
    await this.connecting;
    return this.client;
  }

  private async connect(): Promise<void> {
    try {
      await this.client.connect();
      this.opened.delete(this.control.connection!);
      if (this.closed) await this.close();
    } catch (error) {
      this.connecting = null;
      throw error;
    } finally {
      await this.closeOpened();
    }
  }

  private async closeOpened(): Promise<void> {
    await Promise.all([...this.opened].map((connection) => connection.closeAsync()));
    this.opened.clear();
  }

  /** A running attempt to connect ends by itself, and its connections are closed then. */
  async close(): Promise<void> {
    this.closed = true;
    await this.client.shutdown();
    await this.closeOpened();
    await Promise.all([...this.hosts].map((host) => host.shutdown(false)));
  }
}
