//! Stores and oracles that answer, fail, panic and stand still.

use partisan_proto::{Incarnation, NodeId};

use super::*;

/// Does with a message what its payload says.
struct Moody;

impl BroadcastHandler for Moody {
    fn is_valid(&mut self, message: &BroadcastMessage) -> bool {
        message.payload != "invalid"
    }

    async fn merge(&mut self, message: Arc<BroadcastMessage>) -> Result<bool, HandlerError> {
        match &message.payload[..] {
            b"panic" => panic!("on purpose"),
            b"fail" => Err("on purpose".into()),
            b"stall" => std::future::pending().await,
            b"old" => Ok(false),
            _ => Ok(true),
        }
    }

    async fn is_stale(&mut self, _: MessageId, key: Bytes) -> bool {
        key == "stale"
    }

    async fn fetch(&mut self, _: MessageId, key: Bytes) -> Fetched {
        if key == "here" { Fetched::Found(key) } else { Fetched::Missing }
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would borrow the store")]
    fn exchange(
        &mut self,
        exchange: Exchange,
    ) -> impl Future<Output = ExchangeResult> + Send + 'static {
        async move {
            match exchange.id {
                ExchangeId(1) => ExchangeResult::Done,
                ExchangeId(2) => panic!("on purpose"),
                _ => std::future::pending().await,
            }
        }
    }
}

fn handler() -> HandlerId {
    HandlerId::from_u64(1)
}

fn origin() -> Instance {
    Instance { node: NodeId::from_u64(7), incarnation: Incarnation(1) }
}

fn merge(text: &'static str) -> Question {
    Question::Merge(Arc::new(BroadcastMessage {
        id: MessageId { origin: origin(), sequence: 1 },
        hops: 1,
        own: false,
        stored: true,
        handler: handler(),
        key: Bytes::new(),
        payload: Bytes::from_static(text.as_bytes()),
    }))
}

fn exchange(number: u64) -> Question {
    Question::Exchange { exchange: ExchangeId(number), handler: handler(), peer: origin() }
}

struct Asked {
    answerers: Arc<Answerers>,
    events: mpsc::Sender<LoopEvent>,
    answers: mpsc::Receiver<LoopEvent>,
}

impl Asked {
    fn new() -> Self {
        let (events, answers) = mpsc::channel(16);
        Self { answerers: Arc::new(Answerers::new(Duration::from_secs(5))), events, answers }
    }

    fn keep(&self) -> Option<Registration> {
        self.answerers.keep(handler(), "moody", Moody, self.events.clone())
    }

    async fn ask(&mut self, question: Question) -> Response {
        if let Some(Event::Answered { response, .. }) = self.answerers.ask(QuestionId(9), question)
        {
            return response;
        }
        match self.answers.recv().await {
            Some(LoopEvent::Answered { id: QuestionId(9), response }) => response,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_fails_or_stands_still_is_asked_again() {
    let mut asked = Asked::new();
    let registration = asked.keep().unwrap();
    let expected = [
        ("new", Merged::New),
        ("panic", Merged::Failed),
        ("old", Merged::Stale),
        ("fail", Merged::Failed),
        ("stall", Merged::Failed),
        ("invalid", Merged::Invalid),
        ("new", Merged::New),
    ];
    for (text, merged) in expected {
        assert_eq!(asked.ask(merge(text)).await, Response::Merge(merged), "{text}");
    }
    drop(registration);
}

#[tokio::test]
async fn every_question_finds_its_method() {
    let mut asked = Asked::new();
    let _registration = asked.keep().unwrap();
    let id = MessageId { origin: origin(), sequence: 1 };
    let stale = |key: &'static str| Question::IsStale { handler: handler(), id, key: key.into() };
    assert_eq!(asked.ask(stale("stale")).await, Response::IsStale(true));
    assert_eq!(asked.ask(stale("")).await, Response::IsStale(false));
    let fetch = |key: &'static str| Question::Fetch { handler: handler(), id, key: key.into() };
    assert_eq!(asked.ask(fetch("here")).await, Response::Fetch(Fetched::Found("here".into())));
    assert_eq!(asked.ask(fetch("")).await, Response::Fetch(Fetched::Missing));
    let done = Response::ExchangeEnded(ExchangeResult::Done);
    assert_eq!(asked.ask(exchange(1)).await, done);
}

#[tokio::test]
async fn exchanges_go_on_beside_other_questions_until_they_are_over() {
    let mut asked = Asked::new();
    let _registration = asked.keep().unwrap();
    assert!(asked.answerers.ask(QuestionId(8), exchange(3)).is_none());
    assert_eq!(asked.ask(merge("new")).await, Response::Merge(Merged::New));
    asked.answerers.exchange_over(handler(), ExchangeId(3));
    let failed = Response::ExchangeEnded(ExchangeResult::Failed);
    assert_eq!(asked.ask(exchange(2)).await, failed, "a panic is a failure");
}

#[tokio::test]
async fn where_nobody_has_registered_the_answer_comes_at_once() {
    let mut asked = Asked::new();
    assert_eq!(asked.ask(merge("new")).await, Response::Merge(Merged::Failed));
    let ignored = Response::ExchangeEnded(ExchangeResult::Ignored);
    assert_eq!(asked.ask(exchange(1)).await, ignored);
    let registration = asked.keep().unwrap();
    assert!(asked.keep().is_none(), "one at a time");
    drop(registration);
    assert!(asked.keep().is_some());
}

struct Oracle;

impl CostOracle for Oracle {
    async fn cost(&mut self, spec: Arc<NodeSpec>) -> Option<u32> {
        match spec.name().as_str() {
            "unknown@h" => None,
            "panic@h" => panic!("on purpose"),
            name => Some(name.len() as u32),
        }
    }
}

#[tokio::test]
async fn an_oracle_tells_costs_and_survives_itself() {
    let mut asked = Asked::new();
    let cost = |name: &str| {
        let name = partisan_proto::NodeName::new(name).unwrap();
        let channels = partisan_proto::Channels::default();
        let spec = NodeSpec::new(name, vec![], &channels, vec![]).unwrap();
        Question::Cost { node: spec.id(), spec: Arc::new(spec) }
    };
    assert_eq!(asked.ask(cost("a@h")).await, Response::Cost(None), "nobody knows");
    let _registration = asked.answerers.judge(Oracle, asked.events.clone()).unwrap();
    assert_eq!(asked.ask(cost("a@h")).await, Response::Cost(Some(3)));
    assert_eq!(asked.ask(cost("panic@h")).await, Response::Cost(None));
    assert_eq!(asked.ask(cost("unknown@h")).await, Response::Cost(None));
}
