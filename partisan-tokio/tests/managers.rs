//! Managers from settings, managers of the user's own, what they tell, and whom they ask.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use partisan_proto::config::{ManagerConfig, PluggableConfig};
use partisan_proto::manager::pluggable::Pluggable;
use partisan_proto::wire::ControlMessage;
use partisan_proto::{
    Change, Command, Context, Instance, Manager, Member, NodeSpec, Question, QuestionId, Response,
    Ticket, Timer, Views,
};
use partisan_tokio::{
    CostOracle, Node, NodeId, Notification, Overflow, SendOptions, Settings, Tag,
};
use support::{DEADLINE, contact, notified, pair, settings, soon};

#[tokio::test]
async fn neighbours_are_told_and_listed_as_they_come_and_go() {
    let (a, b) = pair().await;
    let mut events = a.events();
    a.wait_until(DEADLINE, |view| view.neighbors.len() == 1).await.unwrap();
    assert_eq!(*a.neighbors(), [b.instance()]);
    b.abort().await;
    let gone = Notification::NeighborDown { node: b.id() };
    notified(&mut events, |note| *note == gone).await;
    a.wait_until(DEADLINE, |view| view.neighbors.is_empty()).await.unwrap();
    let c = Node::start(settings("c@127.0.0.1")).await.unwrap();
    c.sync_join(contact(&a), DEADLINE).await.unwrap();
    let here = Notification::NeighborUp { instance: c.instance() };
    notified(&mut events, |note| *note == here).await;
}

/// Two nodes with these lines of settings meet, and talk in each way there is.
async fn meet(manager: &str, tags: [&str; 2], is_it: fn(&ManagerConfig) -> bool) {
    let mut nodes = Vec::new();
    for (name, tag) in ["a@127.0.0.1", "b@127.0.0.1"].into_iter().zip(tags) {
        let settings = Settings::from_toml(&format!("name = '{name}'\n[config.manager.{manager}"));
        let mut settings = settings.unwrap();
        assert!(is_it(&settings.config.manager), "{manager}");
        settings.tags = (!tag.is_empty()).then(|| Tag::new(tag).unwrap()).into_iter().collect();
        nodes.push(Node::start(settings).await.unwrap());
    }
    let [a, b] = nodes.try_into().unwrap();
    b.sync_join(contact(&a), DEADLINE).await.unwrap();
    b.wait_until(DEADLINE, |view| !view.neighbors.is_empty()).await.unwrap();
    let (mut inbox, mut told) =
        (a.inbox().unwrap(), a.broadcasts("default", Overflow::Wait).unwrap());
    b.send(a.id(), "to you", &SendOptions::default().relay()).await.unwrap();
    assert_eq!(soon(inbox.recv()).await.unwrap().decode::<String>().unwrap(), "to you");
    b.broadcast("default", "to all").await.unwrap();
    assert_eq!(soon(told.next()).await.unwrap().decode::<String>().unwrap(), "to all");
    let views = b.views().await.unwrap();
    // These two do not distinguish.
    let plain = manager.starts_with("pluggable]") || manager == "static]";
    assert_eq!(views.active.contains(&a.id()), !plain, "{manager}: {views:?}");
    b.shutdown().await;
    a.shutdown().await;
}

#[tokio::test]
async fn every_manager_is_chosen_by_the_settings() {
    let pluggable = |config: &ManagerConfig| matches!(config, ManagerConfig::Pluggable(_));
    meet("pluggable]\nfanout = 2", ["", ""], pluggable).await;
    meet("pluggable.strategy.scamp-v1]\ncopies = 2", ["", ""], pluggable).await;
    meet("pluggable.strategy.scamp-v2]", ["", ""], pluggable).await;
    let hyparview = |config: &ManagerConfig| matches!(config, ManagerConfig::HyParView(_));
    meet("hyparview]\nactive_size = 3\n[config.manager.hyparview.xbot]", ["", ""], hyparview).await;
    let star = |config: &ManagerConfig| matches!(config, ManagerConfig::ClientServer(_));
    meet("client-server]\nservers = 1", ["server", "client"], star).await;
    let fixed = |config: &ManagerConfig| matches!(config, ManagerConfig::Static(_));
    meet("static]", ["", ""], fixed).await;
}

/// The full mesh, except that it wants to know what links cost.
#[derive(Debug)]
struct Curious {
    inner: Pluggable,
    /// The sum of what was answered; an unknown cost counts a thousand.
    cost: Arc<AtomicU32>,
}

impl Manager for Curious {
    fn start(&mut self, cx: &mut Context<'_>) {
        self.inner.start(cx);
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        self.inner.command(cx, ticket, command);
    }

    fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        self.inner.change(cx, change);
        if let Change::NeighborUp { instance } = change
            && let Some(member) = self.inner.member(instance.node)
        {
            cx.ask(Question::Cost { node: instance.node, spec: member.spec });
        }
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        self.inner.receive(cx, from, message)
    }

    fn answered(&mut self, _: &mut Context<'_>, _: QuestionId, response: &Response) {
        if let Response::Cost(cost) = response {
            self.cost.fetch_add(cost.unwrap_or(1_000), Ordering::SeqCst);
        }
    }

    fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        self.inner.fire(cx, timer);
    }

    fn members(&self) -> Vec<Member> {
        self.inner.members()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.inner.member(node)
    }

    fn views(&self) -> Views {
        self.inner.views()
    }

    fn fingerprint(&self) -> u64 {
        self.inner.fingerprint()
    }
}

/// A link costs seven; to a node called c nobody knows, and for one called d the oracle panics.
struct Seven;

impl CostOracle for Seven {
    async fn cost(&mut self, spec: Arc<NodeSpec>) -> Option<u32> {
        match &spec.name().as_str()[..1] {
            "c" => None,
            "d" => panic!("on purpose"),
            _ => Some(7),
        }
    }
}

#[tokio::test]
async fn a_manager_of_ones_own_is_run_and_its_questions_are_answered_by_the_oracle() {
    let cost = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&cost);
    let a = Node::start_with(settings("a@127.0.0.1"), |birth| {
        let (me, config) = (birth.me(), PluggableConfig::default());
        let inner = Pluggable::new(&me, config, &birth.seed, birth.snapshot.clone())?;
        Ok(Box::new(Curious { inner, cost: told }))
    });
    let a = a.await.unwrap();
    let oracle = a.tell_costs(Seven).unwrap();
    assert!(a.tell_costs(Seven).is_err(), "one at a time");
    let mut expected = 0;
    let mut nodes = Vec::new();
    for (name, answer) in [("b", 7), ("c", 1_000), ("d", 1_000), ("e", 7)] {
        let node = Node::start(settings(&format!("{name}@127.0.0.1"))).await.unwrap();
        node.sync_join(contact(&a), DEADLINE).await.unwrap();
        expected += answer;
        support::eventually(|| cost.load(Ordering::SeqCst) == expected).await;
        nodes.push(node);
    }
    drop(oracle);
    let f = Node::start(settings("f@127.0.0.1")).await.unwrap();
    f.sync_join(contact(&a), DEADLINE).await.unwrap();
    support::eventually(|| cost.load(Ordering::SeqCst) == expected + 1_000).await;
    assert_eq!(a.members().len(), 6);
}
