//! What nodes themselves ask of processes, in nobody's name: what users of an application do, and
//! the questions about broadcasts that a server keeps.

use std::rc::Rc;

use bytes::Bytes;
use partisan_proto::behaviour::{AnswerError, Protocol, ServerRef, StoreProtocol, StoreQuestion};
use partisan_proto::call::{CallError, Server};
use partisan_proto::process::SpawnOptions;
use partisan_proto::{
    Command, Config, Duration, Event, HandlerId, HandlerName, ProcessAct, ProcessName, Question,
    QuestionId, Serial, Signal,
};

use super::World;
use crate::applications::Application;

/// What is done with an answer.
pub(crate) type Then = Box<dyn FnOnce(&mut World, Result<Bytes, CallError>)>;

/// What a node asks of a server's process, and how it reads the answer.
type Keep = fn(&mut World, usize, &ProcessName, (QuestionId, Question, StoreQuestion));

/// Who keeps the messages of a handler.
#[derive(Clone)]
pub(super) struct Keeper {
    server: ProcessName,
    ask: Keep,
}

impl World {
    /// A node asks a server, and `then` does something with what came of it; if the node dies
    /// before, it does not.
    pub fn ask<P: Protocol>(
        &mut self,
        node: usize,
        server: &ServerRef<P>,
        call: &P::Call,
        timeout: Option<Duration>,
        then: impl FnOnce(&mut Self, Result<P::Reply, AnswerError>) + 'static,
    ) {
        let payload = match ServerRef::<P>::write_call(call) {
            Ok(payload) => payload,
            Err(error) => return then(self, Err(AnswerError::Decode(error))),
        };
        let read = |result: Result<Bytes, CallError>| {
            ServerRef::<P>::read_reply(&result?).map_err(AnswerError::Decode)
        };
        let then: Then = Box::new(move |world, result| then(world, read(result)));
        if self.hosts[node].node.is_none() {
            return;
        }
        let processes = self.hosts[node].rest.processes.get_or_insert_default();
        let (number, first) = processes.expect_answer(then);
        if first {
            let options = SpawnOptions::default();
            self.command(node, Command::Spawn { process: Serial::NODE, options });
        }
        let (server, lane) = (Server::Process(server.target().clone()), server.lane());
        let act = ProcessAct::Call { number, server, payload, timeout, lane };
        self.deliver(node, Event::Process { process: Serial::NODE, act: act.into() });
    }

    /// Lets the nodes added from now on, of which there will be so many, run an application, and its
    /// users use it.
    pub fn run_application(&mut self, application: Rc<dyn Application>, nodes: usize) {
        self.application = Some(application.clone());
        application.install(self, nodes);
    }

    /// The configuration of nodes that are given no other.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.options.config
    }

    /// Has the application report what is not as promised, now that all is well.
    pub fn settle_application(&mut self) {
        if let Some(application) = self.application.clone() {
            application.settle(self);
        }
    }

    /// The application that the nodes run, if one is on trial.
    #[must_use]
    pub fn on_trial(&self) -> Option<&dyn Application> {
        self.application.as_deref()
    }

    /// The users of the application on a node do something, if the node lives.
    pub(crate) fn use_application(&mut self, node: usize, dice: u64) {
        if let Some(application) = self.application.clone()
            && self.hosts[node].node.is_some()
        {
            application.act(self, node, dice);
        }
    }

    /// Lets the messages of a handler be kept by the server of this name on each node.
    pub fn keep_broadcasts<P: StoreProtocol>(&mut self, handler: &HandlerName, name: ProcessName) {
        let keeper = Keeper { server: name, ask: ask_keeper::<P> };
        self.keepers.insert(HandlerId::of(handler), keeper);
    }

    /// Asks whoever keeps the messages that a question is about; `false` when that is no server.
    pub(super) fn ask_server(&mut self, node: usize, id: QuestionId, question: &Question) -> bool {
        let Some((handler, asked)) = StoreQuestion::of(question) else {
            return false;
        };
        let Some(Keeper { server, ask }) = self.keepers.get(&handler).cloned() else {
            return false;
        };
        ask(self, node, &server, (id, question.clone(), asked));
        true
    }

    /// The node itself is told something: an answer, which is looked at when this is over.
    pub(super) fn signalled_itself(&mut self, node: usize, signal: Signal) {
        if let Signal::Answer { number, result } = signal
            && let Some(processes) = &mut self.hosts[node].rest.processes
            && let Some(then) = processes.take_expected(number)
        {
            self.answers.push_back((then, result));
        }
    }

    /// Does what was to be done with the answers that came.
    pub(super) fn look_at_answers(&mut self) {
        while let Some((then, result)) = self.answers.pop_front() {
            then(self, result);
        }
    }
}

fn ask_keeper<P: StoreProtocol>(
    world: &mut World,
    node: usize,
    server: &ProcessName,
    (id, question, asked): (QuestionId, Question, StoreQuestion),
) {
    let server = ServerRef::<P>::named(world.hosts[node].rest.name.id(), server.clone());
    world.ask(node, &server, &asked.into(), None, move |world, reply| {
        // Without an answer the node goes on at its deadline.
        if let Some(Ok(answer)) = reply.ok().map(TryInto::try_into)
            && let Some(response) = answer.response(&question)
        {
            world.deliver(node, Event::Answered { id, response });
        }
    });
}
