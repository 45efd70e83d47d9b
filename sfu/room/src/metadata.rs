//! Names, metadata and attributes that change during a session.

use std::collections::{BTreeMap, HashMap};

use livekit_protocol::{self as proto, request_response::Reason, request_response::Request};
use plenum_types::ParticipantId;

use crate::Room;

/// Clients that understand a response which says that all is well.
const OK_RESPONSE_PROTOCOL: i32 = 15;

/// A change to what others see of a participant. Empty texts mean no change; an attribute with an empty value is deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetadataChange<'a> {
    pub(crate) name: &'a str,
    pub(crate) metadata: &'a str,
    pub(crate) attributes: &'a HashMap<String, String>,
}

/// Attributes with changes merged in; `None` if they are more than `limit` bytes.
pub(crate) fn merge_attributes(
    before: &BTreeMap<String, String>,
    changes: &HashMap<String, String>,
    limit: usize,
) -> Option<BTreeMap<String, String>> {
    let mut merged = before.clone();
    for (key, value) in changes {
        if value.is_empty() {
            merged.remove(key);
        } else {
            merged.insert(key.clone(), value.clone());
        }
    }
    let bytes: usize = merged
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    (bytes <= limit || changes.is_empty()).then_some(merged)
}

impl Room {
    /// The client changes its own.
    pub(crate) fn client_metadata(
        &mut self,
        id: ParticipantId,
        request: proto::UpdateParticipantMetadata,
    ) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let protocol = participant.client.protocol;
        let request_id = request.request_id;
        if !participant.grants.permissions.can_update_metadata {
            return self.refuse_request(
                id,
                request_id,
                Reason::NotAllowed,
                "the token doesn't allow to update own metadata",
                Some(Request::UpdateMetadata(request)),
            );
        }
        let change = MetadataChange {
            name: &request.name,
            metadata: &request.metadata,
            attributes: &request.attributes,
        };
        if let Err(limit) = self.change_metadata(id, change) {
            return self.refuse_request(
                id,
                request_id,
                Reason::LimitExceeded,
                &limit,
                Some(Request::UpdateMetadata(request)),
            );
        }
        if protocol >= OK_RESPONSE_PROTOCOL {
            self.refuse_request(
                id,
                request_id,
                Reason::Ok,
                "",
                Some(Request::UpdateMetadata(request)),
            );
        }
        // Clients wait for this update of themselves.
        self.participant_changed(id);
        self.refresh_token(id);
    }

    /// Checks and applies a change; the caller tells everyone.
    ///
    /// # Errors
    /// Which limit it exceeds, in words.
    pub(crate) fn change_metadata(
        &mut self,
        id: ParticipantId,
        change: MetadataChange<'_>,
    ) -> Result<(), String> {
        let limits = &self.config.limits;
        if change.name.len() > limits.name_bytes {
            return Err(format!("a name has at most {} bytes", limits.name_bytes));
        }
        if change.metadata.len() > limits.metadata_bytes {
            return Err(format!(
                "metadata has at most {} bytes",
                limits.metadata_bytes
            ));
        }
        let limit = limits.attributes_bytes;
        let Some(participant) = self.participants.get_mut(&id) else {
            return Ok(());
        };
        let Some(attributes) =
            merge_attributes(&participant.grants.attributes, change.attributes, limit)
        else {
            return Err(format!("attributes have at most {limit} bytes in all"));
        };
        let (grants, overrides) = (&mut participant.grants, &mut participant.overrides);
        if !change.name.is_empty() {
            change.name.clone_into(&mut grants.name);
            overrides.name = Some(grants.name.clone());
        }
        if !change.metadata.is_empty() {
            change.metadata.clone_into(&mut grants.metadata);
            overrides.metadata = Some(grants.metadata.clone());
        }
        if attributes != grants.attributes {
            grants.attributes = attributes;
            overrides.attributes = Some(grants.attributes.clone());
        }
        self.snapshot_dirty = true;
        Ok(())
    }
}
