//! One node with what surrounds it: its disk, its wake-up, what it was seen to do.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::interposition::Interposers;
use partisan_proto::wire::BroadcastMessage;
use partisan_proto::{
    Address, Answer, CommandError, Config, Contact, Delivery, Event, ExchangeId, Incarnation,
    Instant, Manager, Node, NodeName, Notification, QuestionId, Tag, Ticket,
};

use crate::processes::Processes;
use crate::store::Store;

/// Makes the manager of a node anew at each of its starts.
pub type ManagerMaker = Rc<dyn Fn() -> Box<dyn Manager>>;

/// What an application on the node saw.
#[derive(Debug, Default)]
pub struct Observed {
    /// Messages handed over, with their times.
    pub deliveries: Vec<(Instant, Delivery)>,
    /// Broadcast messages handed over, with their times.
    pub broadcasts: Vec<(Instant, Arc<BroadcastMessage>)>,
    /// Notifications, with their times.
    pub notifications: Vec<(Instant, Notification)>,
    /// Answers to commands.
    pub replies: BTreeMap<Ticket, Result<Answer, CommandError>>,
}

/// A node with what surrounds it.
///
/// What each event needs stands here, the rest behind a pointer: with many nodes the time goes
/// where the memory is far away, and so two hosts share a cache line.
pub struct NodeHost {
    pub(crate) node: Option<Box<Node>>,
    /// When it is called next; `FAR_FUTURE` when it is not.
    pub(crate) wake: Instant,
    pub(crate) wake_generation: u32,
    pub(crate) paused: bool,
    pub(crate) rest: Box<Rest>,
}

const _: () = assert!(size_of::<NodeHost>() <= 32);

/// What surrounds a node and is seldom looked at.
pub(crate) struct Rest {
    pub(crate) name: NodeName,
    pub(crate) config: Arc<Config>,
    pub(crate) manager: Option<ManagerMaker>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) births: u32,
    /// The newest incarnation it is known to have had.
    pub(crate) incarnation: Incarnation,
    /// The last bytes that it asked to store.
    pub(crate) disk: Option<Bytes>,
    pub(crate) backlog: VecDeque<Event>,
    /// What its application keeps: on the disk as well.
    pub(crate) store: Store,
    /// The exchanges that its application has begun, by their questions.
    pub(crate) exchanges: BTreeMap<ExchangeId, QuestionId>,
    /// What its application will do, by number, and the last number.
    pub(crate) intended: BTreeMap<u64, Event>,
    pub(crate) intentions: u64,
    pub(crate) observed: Option<Box<Observed>>,
    /// The incarnation in which its present run was started.
    pub(crate) birth: Incarnation,
    /// What runs on it, if anything ever did since its start.
    pub(crate) processes: Option<Box<Processes>>,
    /// Who is shown its messages, if anybody is.
    pub(crate) interposers: Option<Box<Interposers>>,
    /// Whom it was told to join.
    pub(crate) contacts: Vec<Address>,
}

/// How many exchanges an application remembers, most of which may be long over for the node.
const EXCHANGES: usize = 64;

impl Rest {
    /// To write down what the application sees.
    pub(crate) fn observed(&mut self) -> &mut Observed {
        self.observed.get_or_insert_default()
    }

    pub(crate) fn begin_exchange(&mut self, exchange: ExchangeId, question: QuestionId) {
        self.exchanges.insert(exchange, question);
        if self.exchanges.len() > EXCHANGES {
            self.exchanges.pop_first();
        }
    }

    pub(crate) fn remember_contact(&mut self, contact: &Contact) {
        for address in contact.addresses.iter() {
            if !self.contacts.contains(address) {
                self.contacts.reserve_exact(1);
                self.contacts.push(address.clone());
            }
        }
    }
}

impl NodeHost {
    pub(crate) fn new(name: NodeName, config: Arc<Config>, manager: Option<ManagerMaker>) -> Self {
        let rest = Rest {
            name,
            config,
            manager,
            tags: Vec::new(),
            births: 0,
            incarnation: Incarnation::NONE,
            disk: None,
            backlog: VecDeque::new(),
            store: Store::default(),
            exchanges: BTreeMap::new(),
            intended: BTreeMap::new(),
            intentions: 0,
            observed: None,
            birth: Incarnation::NONE,
            processes: None,
            interposers: None,
            contacts: Vec::new(),
        };
        Self {
            node: None,
            wake: Instant::FAR_FUTURE,
            wake_generation: 0,
            paused: false,
            rest: Box::new(rest),
        }
    }

    /// The node, while it lives.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &NodeName {
        &self.rest.name
    }

    /// How often it was started.
    #[must_use]
    pub const fn births(&self) -> u32 {
        self.rest.births
    }

    /// Whether it is alive and its time stands still.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// What its application saw, as far as that was [recorded](crate::WorldOptions::record).
    #[must_use]
    pub fn observed(&self) -> &Observed {
        static NOTHING: Observed = Observed {
            deliveries: Vec::new(),
            broadcasts: Vec::new(),
            notifications: Vec::new(),
            replies: BTreeMap::new(),
        };
        self.rest.observed.as_deref().unwrap_or(&NOTHING)
    }
}

impl fmt::Debug for NodeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeHost")
            .field("name", &self.rest.name)
            .field("births", &self.rest.births)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
