//! Data blobs (protocol.md 6.4): small values that a participant keeps in the room under keys, for others to read; the
//! schemas of its data tracks, for example. They go with the participant.

use std::collections::BTreeMap;

use livekit_protocol::{
    self as proto, data_blob_key::Key, request_response::Reason, signal_response::Message,
};
use plenum_types::ParticipantId;
use prost::Message as _;

use crate::{Room, data_tracks::schema_fits};

/// Bytes of a key.
const MAX_KEY: usize = 256;
/// Bytes of all keys and values of one participant; the reference's bound.
const MAX_BYTES: usize = 64_000;

/// What a participant keeps, by encoded key.
#[derive(Debug, Default)]
pub(crate) struct DataBlobs(BTreeMap<Vec<u8>, proto::DataBlob>);

impl DataBlobs {
    fn bytes_without(&self, key: &[u8]) -> usize {
        self.0
            .iter()
            .filter(|(other, _)| other.as_slice() != key)
            .map(|(key, blob)| key.len() + blob.contents.len())
            .sum()
    }
}

impl Room {
    pub(crate) fn store_data_blob(
        &mut self,
        id: ParticipantId,
        request: proto::StoreDataBlobRequest,
    ) {
        let request_id = request.request_id;
        match self.keep_blob(id, request.blob) {
            Ok(key) => self.send(
                id,
                Message::StoreDataBlobResponse(proto::StoreDataBlobResponse {
                    request_id,
                    key: Some(key),
                }),
            ),
            Err((reason, text)) => self.refuse_request(id, request_id, reason, text, None),
        }
    }

    fn keep_blob(
        &mut self,
        id: ParticipantId,
        blob: Option<proto::DataBlob>,
    ) -> Result<proto::DataBlobKey, (Reason, &'static str)> {
        let Some(participant) = self.participants.get_mut(&id) else {
            return Err((Reason::NotFound, "no such participant"));
        };
        if !participant.grants.permissions.can_publish_data {
            return Err((
                Reason::NotAllowed,
                "the token doesn't allow to publish data",
            ));
        }
        let blob = blob.ok_or((Reason::InvalidRequest, "the request has no data blob"))?;
        let key = blob
            .key
            .clone()
            .filter(key_fits)
            .ok_or((Reason::InvalidRequest, "a key has 1 to 256 bytes"))?;
        if blob.contents.is_empty() {
            return Err((Reason::InvalidRequest, "the data blob is empty"));
        }
        let place = key.encode_to_vec();
        let blobs = &mut participant.blobs;
        if blobs.bytes_without(&place) + place.len() + blob.contents.len() > MAX_BYTES {
            return Err((
                Reason::LimitExceeded,
                "a participant's data blobs have at most 64,000 bytes with their keys",
            ));
        }
        blobs.0.insert(place, blob);
        Ok(key)
    }

    pub(crate) fn get_data_blob(&mut self, id: ParticipantId, request: &proto::GetDataBlobRequest) {
        let request_id = request.request_id;
        let Some(key) = &request.key else {
            return self.refuse_request(
                id,
                request_id,
                Reason::InvalidRequest,
                "the request has no key",
                None,
            );
        };
        // Whoever is hidden is not there for others.
        let owner = self
            .by_identity
            .get(request.participant_identity.as_str())
            .and_then(|owner| self.participants.get(owner))
            .filter(|owner| owner.id == id || !owner.hidden());
        let found = owner
            .map(|owner| owner.blobs.0.get(&key.encode_to_vec()).cloned())
            .ok_or("no such participant")
            .and_then(|blob| blob.ok_or("the participant has no data blob with this key"));
        match found {
            Ok(blob) => self.send(
                id,
                Message::GetDataBlobResponse(proto::GetDataBlobResponse {
                    request_id,
                    blob: Some(blob),
                }),
            ),
            Err(text) => self.refuse_request(id, request_id, Reason::NotFound, text, None),
        }
    }
}

fn key_fits(key: &proto::DataBlobKey) -> bool {
    key.encoded_len() <= MAX_KEY
        && match &key.key {
            Some(Key::Generic(name)) => !name.is_empty(),
            Some(Key::SchemaId(schema)) => !schema.name.is_empty() && schema_fits(schema),
            None => false,
        }
}
