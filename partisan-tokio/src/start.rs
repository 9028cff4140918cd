//! Bringing a node to life.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use partisan_proto::{
    Address, Birth, Config, ConfigError, Counters, Host, Incarnation, Instance, Instant, Manager,
    NodeName, NodeSpec, Outbox, ProcessId, Serial, Snapshot,
};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinSet;

use crate::broadcasts::{Answerers, Subscriptions};
use crate::connection::Surroundings;
use crate::driver_config::DriverConfig;
use crate::error::StartError;
use crate::event_loop::{EventLoop, Store};
use crate::events::NodeEvent;
use crate::interception::Interception;
use crate::mailboxes::Mailboxes;
use crate::network::listener::{accept, bind};
use crate::node::Node;
use crate::process::{Doings, ProcessState};
use crate::rpc::Functions;
use crate::settings::Settings;
use crate::shared::{DriverCounters, Published, Shared, View};
use crate::store::{self, Loaded};

/// How many events of connections wait for the loop.
const EVENT_QUEUE: usize = 1024;
/// How many requests of handles wait for the loop.
const REQUEST_QUEUE: usize = 256;

impl Node {
    /// Starts a node: binds its listeners, reads its stored membership, runs it in the background.
    ///
    /// # Errors
    /// [`StartError`]; then nothing of it is left running.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_as(settings, |_| Ok(None)).await
    }

    /// As [`Node::start`], with a manager of the user's own in place of the configured one. It is
    /// made once the node knows who it is.
    ///
    /// ```
    /// use partisan_proto::manager::pluggable::Pluggable;
    /// use partisan_proto::config::PluggableConfig;
    /// use partisan_tokio::{Node, NodeName, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let settings = Settings::new(NodeName::new("alice@127.0.0.1")?);
    /// let alice = Node::start_with(settings, |birth| {
    ///     let (me, config) = (birth.me(), PluggableConfig::default());
    ///     Ok(Box::new(Pluggable::new(&me, config, &birth.seed, birth.snapshot.clone())?))
    /// })
    /// .await?;
    /// # alice.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StartError`]; then nothing of it is left running.
    pub async fn start_with(
        settings: Settings,
        manager: impl FnOnce(&Birth) -> Result<Box<dyn Manager>, ConfigError>,
    ) -> Result<Self, StartError> {
        Self::start_as(settings, |birth| manager(birth).map(Some)).await
    }

    async fn start_as(
        settings: Settings,
        manager: impl FnOnce(&Birth) -> Result<Option<Box<dyn Manager>>, ConfigError>,
    ) -> Result<Self, StartError> {
        settings.validate()?;
        let mut listeners = Vec::new();
        let mut bound = Vec::new();
        for address in &settings.listen {
            let listener = bind(address, settings.driver.accept_backlog).await?;
            let actual = listener
                .local_addr()
                .map_err(|error| StartError::Bind { address: address.clone(), error })?;
            bound.push(Address::from(actual));
            listeners.push(listener);
        }
        let advertised = advertised(&settings, bound).await?;
        let spec = NodeSpec::new(
            settings.name.clone(),
            advertised,
            &settings.config.channels,
            settings.tags.clone(),
        )?;
        let Loaded { snapshot, recovered } = load(&settings)?;
        let mut birth = Birth {
            spec,
            incarnation: incarnation(snapshot.as_ref()),
            seed: seed()?,
            snapshot,
            manager: None,
        };
        birth.manager = manager(&birth)?;
        let node = run(settings, birth, recovered, listeners)?;
        tracing::info!(node = %node.spec(), "started");
        Ok(node)
    }
}

fn load(settings: &Settings) -> Result<Loaded, StartError> {
    match &settings.state_dir {
        Some(directory) => store::load(&store::file_of(directory, settings.name.id())),
        None => Ok(Loaded::default()),
    }
}

fn seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(StartError::Random)?;
    Ok(seed)
}

/// Greater than that of any life before, even when the clock was set back.
fn incarnation(snapshot: Option<&Snapshot>) -> Incarnation {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(1, |since| since.as_millis());
    let now = Incarnation(u64::try_from(millis).unwrap_or(1).max(1));
    snapshot.map_or(now, |stored| now.max(stored.incarnation.next()))
}

/// What to tell others: what is configured, or else what is bound.
async fn advertised(settings: &Settings, bound: Vec<Address>) -> Result<Vec<Address>, StartError> {
    if !settings.advertise.is_empty() {
        return Ok(settings.advertise.clone());
    }
    let mut advertised = Vec::new();
    for address in bound {
        if address.is_dialable() {
            advertised.push(address);
        } else {
            let found = own_host(&settings.name, address.port).await;
            advertised.push(found.ok_or(StartError::NothingToAdvertise { address })?);
        }
    }
    Ok(advertised)
}

/// The host part of the node's name, if it resolves.
async fn own_host(name: &NodeName, port: u16) -> Option<Address> {
    let host = name.host()?;
    let host = match host.parse() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => {
            lookup_host((host, port)).await.ok()?.next()?;
            Host::Name(host.into())
        }
    };
    let address = Address { host, port };
    address.is_dialable().then_some(address)
}

fn run(
    settings: Settings,
    birth: Birth,
    recovered: Option<store::Recovered>,
    listeners: Vec<TcpListener>,
) -> Result<Node, ConfigError> {
    let Settings { name, state_dir, config, driver, .. } = settings;
    let config = Arc::new(config);
    let mut out = Outbox::default();
    let core = partisan_proto::Node::start(Instant::ZERO, birth, Arc::clone(&config), &mut out)?;
    let (events, events_received) = mpsc::channel(EVENT_QUEUE);
    let (requests, requests_received) = mpsc::channel(REQUEST_QUEUE);
    let (tell, told_by_processes) = mpsc::unbounded_channel();
    let loop_room = Arc::new(Semaphore::new(driver.loop_bytes));
    let doings = Doings::new(tell, Arc::clone(&loop_room), driver.loop_bytes);
    let told = broadcast::Sender::new(driver.event_queue);
    let counters = DriverCounters::default();
    let file = state_dir.map(|directory| store::file_of(&directory, name.id()));
    let store = file.map(|file| keep(file, &counters, &told));
    let shared = Arc::new(share(config, &driver, &core, recovered, counters, told, doings));
    let around = Arc::new(Surroundings {
        max_frame: shared.config.connections.max_frame,
        mailboxes: Arc::clone(&shared.mailboxes),
        subscriptions: Arc::clone(&shared.subscriptions),
        interception: Arc::clone(&shared.interception),
        events: events.clone(),
        me: core.instance().node,
        loop_room,
        config: driver,
    });
    let helpers = listen(listeners, &around, &shared);
    let weak = requests.downgrade();
    let node = Node { id: core.instance().node, shared: Arc::clone(&shared), requests, events };
    let event_loop = EventLoop::new(core, out, shared, around, helpers, store, weak);
    tokio::spawn(event_loop.run(events_received, requests_received, told_by_processes));
    Ok(node)
}

/// Starts the task that stores the membership.
fn keep(file: PathBuf, counters: &DriverCounters, told: &broadcast::Sender<NodeEvent>) -> Store {
    let (latest, receiver) = watch::channel(Bytes::new());
    let failures = Arc::clone(&counters.persist_failures);
    let writing = Arc::default();
    let writer =
        store::write_latest(file, receiver, Arc::clone(&writing), failures, told.downgrade());
    Store { latest, task: tokio::spawn(writer), writing }
}

fn share(
    config: Arc<Config>,
    driver: &DriverConfig,
    core: &partisan_proto::Node,
    recovered: Option<store::Recovered>,
    counters: DriverCounters,
    told: broadcast::Sender<NodeEvent>,
    doings: Doings,
) -> Shared {
    let Instance { node, incarnation: birth } = core.instance();
    let own = ProcessId { node, birth, serial: Serial::NODE };
    let started = tokio::time::Instant::now();
    Shared {
        published: ArcSwap::from_pointee(Published {
            view: View::new(core, None),
            connections: HashMap::default(),
        }),
        version: watch::Sender::new(0),
        stopped: watch::Sender::new(false),
        is_over: AtomicBool::new(false),
        mailboxes: Arc::new(Mailboxes::new(driver, birth)),
        subscriptions: Arc::new(Subscriptions::new(driver)),
        answerers: Arc::new(Answerers::new(driver.answer_deadline)),
        doings,
        own: Arc::new(ProcessState::new(own, 1, 1)),
        serials: AtomicU64::new(Serial::NODE.0),
        functions: Functions::new(driver.running_functions),
        interception: Arc::new(Interception::new(driver.delayed_messages, started)),
        started,
        counters,
        protocol_counters: Mutex::new(Counters::default()),
        recovered,
        events: Mutex::new(Some(told)),
        config,
    }
}

fn listen(
    listeners: Vec<TcpListener>,
    around: &Arc<Surroundings>,
    shared: &Arc<Shared>,
) -> JoinSet<()> {
    let pending = Arc::new(Semaphore::new(around.config.accept_backlog));
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(accept(
            listener,
            Arc::clone(&pending),
            around.events.clone(),
            Arc::clone(&shared.counters.accept_errors),
            around.config.tcp_timeout,
        ));
    }
    tasks
}
