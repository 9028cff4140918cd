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

use crate::connection::{Connection, Lane, Surroundings, Terms, serve};
use crate::node::Node;
use crate::process::{Processes, Told};
use crate::shared::{Published, Shared, View};
use crate::sync::lock;

/// The most events handled in one turn.
const EVENTS_A_TURN: usize = 256;
/// How many doings of processes are waited for at once; all that are there are handled.
const DOINGS_A_TURN: usize = 256;
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
    Calls(oneshot::Sender<(usize, usize)>),
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
    pub(crate) processes: Processes,
    /// That handles can be made, as long as there are some.
    requests: mpsc::WeakSender<Request>,
    pub(crate) store: Option<Store>,
    pub(crate) routes_version: u64,
    /// Connections may have become lanes.
    pub(crate) gates_moved: bool,
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
        requests: mpsc::WeakSender<Request>,
    ) -> Self {
        Self {
            core,
            out,
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
            processes: Processes::default(),
            requests,
            store,
            routes_version: 0,
            gates_moved: false,
            members_moved: true,
            feedback: Vec::new(),
            rooms: Vec::new(),
        }
    }

    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<LoopEvent>,
        mut requests: mpsc::Receiver<Request>,
        mut doings: mpsc::UnboundedReceiver<Told>,
    ) {
        let mut happened = Vec::with_capacity(EVENTS_A_TURN);
        let mut asked = Vec::with_capacity(REQUESTS_A_TURN);
        let mut told = Vec::with_capacity(DOINGS_A_TURN);
        let mut handles = true;
        self.spawn_own();
        self.settle();
        loop {
            tokio::select! {
                () = sleep_until(self.wake_at()) => {}
                _ = events.recv_many(&mut happened, EVENTS_A_TURN) => {}
                _ = doings.recv_many(&mut told, DOINGS_A_TURN) => {}
                count = requests.recv_many(&mut asked, REQUESTS_A_TURN), if handles => if count == 0 {
                    // No handle is left: nobody could ever stop it otherwise.
                    handles = false;
                    asked.push(Request::Command(Command::Stop, oneshot::channel().0));
                },
                _ = self.processes.reap(), if self.processes.has_tasks() => {}
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    report_panic(ended);
                }
                Some(ended) = self.helpers.join_next(), if !self.helpers.is_empty() => {
                    report_panic(ended);
                }
            }
            top_up(&mut events, &mut happened, EVENTS_A_TURN);
            top_up(&mut requests, &mut asked, REQUESTS_A_TURN);
            // Last taken and first done, and all of it: what a process did before it sent a message
            // is done before anything that may follow from that message.
            while let Ok(next) = doings.try_recv() {
                told.push(next);
            }
            if self.turn(&mut told, &mut happened, &mut asked) {
                drop(doings);
                return self.end_at_once(events).await;
            }
            if self.core.is_stopping() {
                requests.close();
                // Whoever waits for what it told must not wait for a loop that does not listen.
                drop(doings);
                return self.end(events).await;
            }
        }
    }

    /// A handle of this node; `None` once there is none left.
    pub(crate) fn handle(&self) -> Option<Node> {
        Some(Node {
            id: self.around.me,
            shared: Arc::clone(&self.shared),
            requests: self.requests.upgrade()?,
            events: self.around.events.clone(),
        })
    }

    fn wake_at(&self) -> Option<tokio::time::Instant> {
        let at = self
            .out
            .wake_at
            .and_then(|(at, _)| self.shared.started.checked_add(at.since(Instant::ZERO)));
        at.into_iter().chain(self.processes.stops_at()).min()
    }

    /// Handles a bounded share of what is there; `true` when all must end at once.
    fn turn(
        &mut self,
        told: &mut Vec<Told>,
        happened: &mut Vec<LoopEvent>,
        asked: &mut Vec<Request>,
    ) -> bool {
        let mut handshakes = Vec::new();
        for doing in told.drain(..) {
            self.take_doing(doing);
        }
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
        if self.processes.stops_at().is_some() {
            self.stop_when_ended();
            self.settle();
        }
        self.processes.pass_barriers();
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
            Request::Command(Command::Stop, reply) => self.stop(reply),
            Request::Command(command, reply) => self.command(command, reply),
            Request::Calls(reply) => drop(reply.send(self.core.calls())),
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
            let moves = |action: &Action| moves_members(&self.processes, action);
            self.members_moved |= self.out.actions.iter().any(moves);
            // First the routes: whoever acts on an action must find what it speaks of.
            self.publish();
            self.perform();
            // Last the gates: whoever is told that a node is up is told before its first message.
            self.establish();
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
        let now = self.shared.clock();
        self.core.handle(now, event, &mut self.out);
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub(crate) fn command(&mut self, command: Command, reply: Reply) {
        let ticket = self.ticket();
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
        self.gates_moved |= routes_moved;
        if routes_moved {
            self.assign();
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

    /// Lets readers see that nobody is connected any more, even if the core never came to say so.
    fn disown(&self) {
        let view = self.shared.published.load().view.alone();
        self.shared.published.store(Arc::new(Published { view, connections: HashMap::default() }));
    }

    /// Tells every connection that has become a lane which: the core may send by it from now on.
    fn assign(&self) {
        if self.handshaking.is_empty() {
            return;
        }
        let channels = &self.shared.config.channels;
        for peer in self.core.routes().peers() {
            let (node, max_frame) = (peer.instance.node, peer.max_frame);
            for (channel, lanes) in (0..).map(ChannelId).zip(peer.channels.iter()) {
                let compressed = peer.compresses(channels, channel);
                let terms = Terms { max_frame, compressed };
                let mine = lanes.iter().flatten().filter(|id| self.handshaking.contains(id));
                for connection in mine.filter_map(|id| self.connections.get(id)) {
                    connection.assign(Lane { peer: node, channel }, terms);
                }
            }
        }
    }

    /// Opens the gate of every connection that has become a lane.
    fn establish(&mut self) {
        if !std::mem::take(&mut self.gates_moved) {
            return;
        }
        self.handshaking.retain(|id| {
            let lane = self.connections.get(id).filter(|connection| connection.lane().is_some());
            lane.inspect(|connection| connection.open()).is_none()
        });
    }

    /// Ends in good order: connections flush within their deadline, the last state is stored.
    async fn end(mut self, events: mpsc::Receiver<LoopEvent>) {
        // Tasks must not wait for a loop that does not listen any more.
        drop(events);
        self.helpers.shutdown().await;
        self.processes.close();
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
        self.processes.end_tasks(grace).await;
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
        self.processes.close();
        self.processes.end_tasks(self.around.config.shutdown_grace).await;
    }
}

/// However it ends, by a stop, the end of the runtime or a panic: whoever waits learns of it.
impl Drop for EventLoop {
    fn drop(&mut self) {
        for connection in self.connections.values() {
            connection.end(false);
        }
        self.disown();
        self.processes.close();
        self.shared.functions.close();
        self.shared.interception.close();
        self.shared.mailboxes.close();
        self.shared.subscriptions.close();
        lock(&self.shared.events).take();
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.stopped.send_replace(true);
        self.shared.version.send_modify(|version| *version += 1);
        self.tickets.clear();
    }
}

fn moves_members(processes: &Processes, action: &Action) -> bool {
    match action {
        Action::Reply { ticket, .. } => !processes.asked_for(*ticket),
        Action::Persist(_) => true,
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
