//! The one loop: owns the core, feeds it what happens, performs what it wants.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use partisan_proto::{
    Action, Answer, BroadcastTree, ChannelId, CloseReason, Command, CommandError, ConnectionId,
    Event, ExchangeInfo, Instant, NodeId, Notification, OpenError, Outbox, PeerInfo, QuestionId,
    Response, Ticket, Views,
};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::connection::{Connection, Lane, Surroundings, serve};
use crate::shared::{Published, Shared, View};
use crate::sync::lock;

/// The most events handled in one turn.
const EVENTS_A_TURN: usize = 256;
/// The most requests handled in one turn.
const REQUESTS_A_TURN: usize = 64;

/// What the tasks of a node tell its loop.
#[derive(Debug)]
pub(crate) enum LoopEvent {
    Accepted {
        stream: TcpStream,
        place: OwnedSemaphorePermit,
    },
    Dialled {
        connection: ConnectionId,
        result: Result<TcpStream, OpenError>,
    },
    Frame {
        connection: Arc<Connection>,
        frame: partisan_proto::wire::Frame,
        /// Held until all that follows from the frame is done.
        room: Option<OwnedSemaphorePermit>,
    },
    Closed {
        connection: ConnectionId,
        reason: CloseReason,
    },
    Answered {
        id: QuestionId,
        response: Response,
    },
    Congested(ConnectionId),
    Drained(ConnectionId),
}

pub(crate) type Reply = oneshot::Sender<Result<Answer, CommandError>>;

/// What handles ask the loop.
#[derive(Debug)]
pub(crate) enum Request {
    Command(Command, Reply),
    Peer(NodeId, oneshot::Sender<Option<PeerInfo>>),
    Views(oneshot::Sender<Views>),
    Tree(NodeId, oneshot::Sender<BroadcastTree>),
    Exchanges(oneshot::Sender<Vec<ExchangeInfo>>),
    /// Drop everything at once, as a crash would.
    Abort,
}

/// Where to put what is to be stored, and the task that stores it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) latest: watch::Sender<Bytes>,
    pub(crate) task: JoinHandle<()>,
    /// Held while a file is being written, even beyond the end of the task.
    pub(crate) writing: Arc<tokio::sync::Mutex<()>>,
}

/// The one loop of a node.
pub(crate) struct EventLoop {
    pub(crate) core: partisan_proto::Node,
    pub(crate) out: Outbox,
    pub(crate) started: tokio::time::Instant,
    pub(crate) shared: Arc<Shared>,
    pub(crate) around: Arc<Surroundings>,
    pub(crate) connections: BTreeMap<ConnectionId, Arc<Connection>>,
    /// Those that the core has not established yet.
    pub(crate) handshaking: BTreeSet<ConnectionId>,
    pub(crate) dials: HashMap<ConnectionId, AbortHandle>,
    pub(crate) accepted: u64,
    pub(crate) tickets: HashMap<Ticket, Reply>,
    pub(crate) next_ticket: u64,
    /// The tasks of connections, which a stop waits for.
    pub(crate) tasks: JoinSet<()>,
    /// Listeners and dials, which end at once.
    pub(crate) helpers: JoinSet<()>,
    pub(crate) store: Option<Store>,
    pub(crate) routes_version: u64,
    pub(crate) members_moved: bool,
    /// What performing actions caused.
    pub(crate) feedback: Vec<Event>,
    /// The room that the payloads of this turn take.
    pub(crate) rooms: Vec<OwnedSemaphorePermit>,
}

impl EventLoop {
    pub(crate) fn new(
        core: partisan_proto::Node,
        out: Outbox,
        shared: Arc<Shared>,
        around: Arc<Surroundings>,
        helpers: JoinSet<()>,
        store: Option<Store>,
    ) -> Self {
        Self {
            core,
            out,
            started: tokio::time::Instant::now(),
            shared,
            around,
            connections: BTreeMap::new(),
            handshaking: BTreeSet::new(),
            dials: HashMap::new(),
            accepted: 0,
            tickets: HashMap::new(),
            next_ticket: 0,
            tasks: JoinSet::new(),
            helpers,
            store,
            routes_version: 0,
            members_moved: true,
            feedback: Vec::new(),
            rooms: Vec::new(),
        }
    }

    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<LoopEvent>,
        mut requests: mpsc::Receiver<Request>,
    ) {
        let mut happened = Vec::with_capacity(EVENTS_A_TURN);
        let mut asked = Vec::with_capacity(REQUESTS_A_TURN);
        self.publish();
        self.perform();
        loop {
            tokio::select! {
                () = sleep_until(self.wake_at()) => {}
                _ = events.recv_many(&mut happened, EVENTS_A_TURN) => {}
                count = requests.recv_many(&mut asked, REQUESTS_A_TURN) => if count == 0 {
                    // No handle is left: nobody could ever stop it otherwise.
                    asked.push(Request::Command(Command::Stop, oneshot::channel().0));
                },
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    report_panic(ended);
                }
                Some(ended) = self.helpers.join_next(), if !self.helpers.is_empty() => {
                    report_panic(ended);
                }
            }
            top_up(&mut events, &mut happened, EVENTS_A_TURN);
            top_up(&mut requests, &mut asked, REQUESTS_A_TURN);
            if self.turn(&mut happened, &mut asked) {
                return self.end_at_once(events).await;
            }
            if self.core.is_stopping() {
                requests.close();
                return self.end(events).await;
            }
        }
    }

    fn clock(&self) -> Instant {
        let nanos = self.started.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn wake_at(&self) -> Option<tokio::time::Instant> {
        let (at, _) = self.out.wake_at?;
        self.started.checked_add(at.since(Instant::ZERO))
    }

    /// Handles a bounded share of what is there; `true` when all must end at once.
    fn turn(&mut self, happened: &mut Vec<LoopEvent>, asked: &mut Vec<Request>) -> bool {
        let mut handshakes = Vec::new();
        for event in happened.drain(..) {
            self.take_event(event, &mut handshakes);
        }
        for request in asked.drain(..) {
            if self.take_request(request) {
                return true;
            }
        }
        if self.wake_at().is_some_and(|at| at <= tokio::time::Instant::now()) {
            self.feed(Event::Wake);
        }
        self.settle();
        self.rooms.clear();
        for connection in handshakes {
            connection.frame_handled();
        }
        false
    }

    /// Does what a handle wants; `true` when all must end at once. Whoever asked may have given up.
    fn take_request(&mut self, request: Request) -> bool {
        match request {
            Request::Abort => return true,
            Request::Command(command, reply) => self.command(command, reply),
            Request::Peer(node, reply) => drop(reply.send(self.core.peer(node))),
            Request::Views(reply) => drop(reply.send(self.core.views())),
            Request::Tree(root, reply) => drop(reply.send(self.core.broadcast_tree(root))),
            Request::Exchanges(reply) => drop(reply.send(self.core.exchanges())),
        }
        false
    }

    /// Performs all actions, and what follows from performing them.
    fn settle(&mut self) {
        loop {
            self.members_moved |= self.out.actions.iter().any(moves_members);
            // First the routes: whoever acts on an action must find what it speaks of.
            self.publish();
            self.perform();
            if self.feedback.is_empty() {
                *lock(&self.shared.protocol_counters) = self.core.counters();
                return;
            }
            for event in std::mem::take(&mut self.feedback) {
                self.feed(event);
            }
        }
    }

    pub(crate) fn feed(&mut self, event: Event) {
        let now = self.clock();
        self.core.handle(now, event, &mut self.out);
    }

    fn command(&mut self, command: Command, reply: Reply) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, reply);
        self.feed(Event::Command { ticket, command });
    }

    fn take_event(&mut self, event: LoopEvent, handshakes: &mut Vec<Arc<Connection>>) {
        match event {
            LoopEvent::Accepted { stream, place } => {
                let connection = ConnectionId::accepted(self.accepted);
                self.accepted += 1;
                self.open(connection, stream, Some(place));
                self.feed(Event::Accepted { connection });
            }
            LoopEvent::Dialled { connection, result } => {
                // One that was closed meanwhile is nobody's any more.
                if self.dials.remove(&connection).is_none() {
                    return;
                }
                match result {
                    Ok(stream) => {
                        self.open(connection, stream, None);
                        self.feed(Event::Opened { connection });
                    }
                    Err(error) => self.feed(Event::OpenFailed { connection, error }),
                }
            }
            LoopEvent::Frame { connection, frame, room } => {
                self.rooms.extend(room);
                let id = connection.id;
                if self.handshaking.contains(&id) {
                    handshakes.push(connection);
                }
                if self.connections.contains_key(&id) {
                    let connection = id;
                    self.feed(Event::Received { connection, frame });
                }
            }
            LoopEvent::Closed { connection, reason } => {
                if self.forget(connection).is_some() {
                    self.feed(Event::Closed { connection, reason });
                }
            }
            LoopEvent::Answered { id, response } => self.feed(Event::Answered { id, response }),
            LoopEvent::Congested(connection) => self.feed(Event::Congested { connection }),
            LoopEvent::Drained(connection) => self.feed(Event::Drained { connection }),
        }
    }

    fn open(&mut self, id: ConnectionId, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
        let connection = Arc::new(Connection::new(id, &self.around.config, place));
        self.connections.insert(id, Arc::clone(&connection));
        self.handshaking.insert(id);
        let task = serve(connection, stream, Arc::clone(&self.around));
        self.tasks.spawn(task);
    }

    pub(crate) fn forget(&mut self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.handshaking.remove(&id);
        self.connections.remove(&id)
    }

    /// Lets readers and senders see what the core has changed.
    fn publish(&mut self) {
        let routes = self.core.routes();
        let routes_moved = routes.version() != self.routes_version;
        let before = self.shared.published.load();
        let stale = before.view.instance != self.core.instance();
        if !routes_moved && !self.members_moved && !stale {
            return;
        }
        self.routes_version = routes.version();
        if routes_moved {
            self.establish();
        }
        let kept = (!self.members_moved && !stale).then(|| Arc::clone(&before.view.members));
        let view = View::new(&self.core, kept);
        let lanes = view.routes().peers().flat_map(|peer| peer.connections().collect::<Vec<_>>());
        let find = |id| Some((id, Arc::clone(self.connections.get(&id)?)));
        let connections = lanes.filter_map(find).collect();
        self.members_moved = false;
        self.shared.published.store(Arc::new(Published { view, connections }));
        self.shared.version.send_modify(|version| *version += 1);
    }

    /// Opens the gate of every connection that has become a lane.
    fn establish(&mut self) {
        if self.handshaking.is_empty() {
            return;
        }
        for peer in self.core.routes().peers() {
            for (channel, lanes) in (0..).zip(peer.channels.iter()) {
                for id in lanes.iter().flatten() {
                    if self.handshaking.remove(id)
                        && let Some(connection) = self.connections.get(id)
                    {
                        connection.establish(Lane {
                            peer: peer.instance.node,
                            channel: ChannelId(channel),
                        });
                    }
                }
            }
        }
    }

    /// Ends in good order: connections flush within their deadline, the last state is stored.
    async fn end(mut self, events: mpsc::Receiver<LoopEvent>) {
        // Tasks must not wait for a loop that does not listen any more.
        drop(events);
        self.helpers.shutdown().await;
        for connection in self.connections.values() {
            connection.end(true);
        }
        let tasks = &mut self.tasks;
        let all = async { while tasks.join_next().await.is_some() {} };
        let grace = self.around.config.shutdown_grace;
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!("connections were dropped: not flushed within the shutdown grace");
        }
        self.tasks.shutdown().await;
        if let Some(Store { latest, task, .. }) = self.store.take() {
            drop(latest);
            report_panic(task.await);
        }
    }

    async fn end_at_once(mut self, events: mpsc::Receiver<LoopEvent>) {
        drop(events);
        if let Some(Store { task, writing, .. }) = self.store.take() {
            task.abort();
            // Ended or cancelled, whichever: it begins no further write.
            let _ = task.await;
            // Else it could overwrite what the next life of the node stores.
            drop(writing.lock().await);
        }
        self.helpers.shutdown().await;
        self.tasks.shutdown().await;
    }
}

/// However it ends, by a stop, the end of the runtime or a panic: whoever waits learns of it.
impl Drop for EventLoop {
    fn drop(&mut self) {
        for connection in self.connections.values() {
            connection.end(false);
        }
        self.shared.mailboxes.close();
        self.shared.subscriptions.close();
        lock(&self.shared.events).take();
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.stopped.send_replace(true);
        self.shared.version.send_modify(|version| *version += 1);
        self.tickets.clear();
    }
}

fn moves_members(action: &Action) -> bool {
    match action {
        Action::Persist(_) | Action::Reply { .. } => true,
        Action::Notify(notification) => matches!(
            notification,
            Notification::MemberJoined { .. }
                | Notification::MemberLeft { .. }
                | Notification::Removed { .. }
                | Notification::JoinEnded { .. }
                | Notification::NeighborUp { .. }
                | Notification::NeighborDown { .. }
        ),
        _ => false,
    }
}

fn top_up<T>(from: &mut mpsc::Receiver<T>, into: &mut Vec<T>, most: usize) {
    while into.len() < most
        && let Ok(next) = from.try_recv()
    {
        into.push(next);
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task of the driver panicked; please report this");
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}
