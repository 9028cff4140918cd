//! What a supervisor is asked: children that come and go.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::change::{Purpose, Step};
use super::children::{Key, Owner};
use super::{Answer, Ask, Child, ChildCount, ChildError, ChildSpec, SpecError, SupervisorEngine};
use crate::behaviour::Caller;
use crate::process::ActorContext;

impl SupervisorEngine {
    pub(super) fn asked(&mut self, cx: &mut ActorContext<'_>, caller: Caller<Answer>, ask: Ask) {
        let answer = match ask {
            Ask::WhichChildren => Some(Answer::Children(self.children.infos())),
            Ask::CountChildren => Some(Answer::Count(self.count())),
            Ask::StartChild { id, args } => {
                self.add(&id, args, caller).err().map(|error| Answer::Started(Err(error)))
            }
            Ask::RestartChild(id) => {
                self.again(&id, caller).err().map(|error| Answer::Started(Err(error)))
            }
            Ask::DeleteChild(id) => Some(Answer::Done(self.delete(&id))),
            Ask::TerminateChild(child) => {
                self.terminate_child(&child, caller).err().map(|error| Answer::Done(Err(error)))
            }
            Ask::HostChild { number, id, args } => {
                let owner = Owner { process: caller.process(), number };
                let hosted = self.host(cx, owner, (&id, args), caller);
                hosted.err().map(|error| Answer::Started(Err(error)))
            }
            Ask::ReleaseChild { number } => {
                let owner = Owner { process: caller.process(), number };
                self.release(owner, caller).err().map(|error| Answer::Done(Err(error)))
            }
        };
        if let Some(answer) = answer {
            caller.reply(cx, &answer);
        }
    }

    fn count(&self) -> ChildCount {
        let count = self.children.count();
        ChildCount { specs: if self.is_simple() { 1 } else { count.specs }, ..count }
    }

    fn add(&mut self, id: &str, args: Vec<u8>, caller: Caller<Answer>) -> Result<(), ChildError> {
        if !self.is_simple() {
            self.is_free(id)?;
        }
        let key = self.children.add(self.known_as(id)?, args, None);
        self.begin_change(Purpose::Add(caller.reply_to()), [Step::Start(key)]);
        Ok(())
    }

    /// What is to be started under a name.
    pub(super) fn known_as(&self, id: &str) -> Result<ChildSpec, ChildError> {
        if let ([one], true) = (&self.spec.children[..], self.is_simple()) {
            return Ok(one.clone());
        }
        let known = self.spec.dynamic.as_ref().and_then(|dynamic| dynamic(id));
        let spec = ChildSpec { id: id.into(), ..known.ok_or(ChildError::Unknown)? };
        let bad = |error: SpecError| ChildError::BadSpec(error.to_string());
        self.spec.check_child(&spec).map_err(bad)?;
        Ok(spec)
    }

    fn is_free(&self, id: &str) -> Result<(), ChildError> {
        match self.children.named(id).map(|(_, child)| (child.process, child.restarting)) {
            None => Ok(()),
            Some((Some(process), _)) => Err(ChildError::AlreadyStarted(process)),
            Some((None, true)) => Err(ChildError::Restarting),
            Some((None, false)) => Err(ChildError::AlreadyPresent),
        }
    }

    /// A child of this name that does not run.
    fn at_rest(&self, id: &str) -> Result<Key, ChildError> {
        if self.is_simple() {
            return Err(ChildError::Nameless);
        }
        match self.children.named(id) {
            None => Err(ChildError::NotFound),
            Some((_, child)) if child.process.is_some() => Err(ChildError::Running),
            Some((_, child)) if child.restarting => Err(ChildError::Restarting),
            Some((key, _)) => Ok(key),
        }
    }

    fn again(&mut self, id: &str, caller: Caller<Answer>) -> Result<(), ChildError> {
        let key = self.at_rest(id)?;
        self.begin_change(Purpose::Again(caller.reply_to()), [Step::Start(key)]);
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<(), ChildError> {
        let key = self.at_rest(id)?;
        self.children.forget(key);
        Ok(())
    }

    fn terminate_child(&mut self, child: &Child, caller: Caller<Answer>) -> Result<(), ChildError> {
        let key = self.children.find(child, self.is_simple())?;
        let stop = Step::Stop([key].into());
        self.begin_change(Purpose::Terminate(caller.reply_to()), [stop]);
        Ok(())
    }
}
