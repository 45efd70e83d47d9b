//! Faults that clients ask for to test themselves (protocol.md 9.5). Each hits only who asks.

use livekit_protocol::{
    self as proto, DisconnectReason, leave_request::Action, simulate_scenario::Scenario,
};
use plenum_types::ParticipantId;

use crate::{Room, leave::Farewell, participant::ResumeFault};

impl Room {
    pub(crate) fn simulate(&mut self, id: ParticipantId, request: proto::SimulateScenario) {
        match request.scenario {
            Some(Scenario::SpeakerUpdate(seconds)) => self.simulate_speaker(id, seconds),
            // All is gone without a word: the client finds out by itself and its resume fails.
            Some(Scenario::NodeFailure(true) | Scenario::Migration(true)) => {
                self.remove(id, DisconnectReason::StateMismatch, Farewell::Close, true);
            }
            Some(Scenario::ServerLeave(true)) => self.remove(
                id,
                DisconnectReason::ServerShutdown,
                Farewell::Leave(Action::Disconnect),
                true,
            ),
            Some(Scenario::LeaveRequestFullReconnect(true)) => {
                self.lose(id, DisconnectReason::StateMismatch);
            }
            Some(Scenario::DisconnectSignalOnResume(true)) => {
                self.set_resume_fault(id, ResumeFault::AfterMessages);
            }
            Some(Scenario::DisconnectSignalOnResumeNoMessages(true)) => {
                self.set_resume_fault(id, ResumeFault::BeforeMessages);
            }
            Some(Scenario::SwitchCandidateProtocol(protocol)) => {
                self.switch_candidate_protocol(id, protocol);
            }
            Some(Scenario::SubscriberBandwidth(bits_per_second)) => {
                self.simulate_bandwidth(id, bits_per_second);
            }
            _ => {}
        }
    }

    fn set_resume_fault(&mut self, id: ParticipantId, fault: ResumeFault) {
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.resume_fault = fault;
        }
    }
}
