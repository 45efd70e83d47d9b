//! The Directory of a cluster: one Redis, all changes through two scripts.

use async_trait::async_trait;
use bytes::Bytes;
use redis::Pipeline;

use super::link::{Link, RedisSettings};
use super::scripts::{CLAIMS, MEMBERS, Reply, snapshot_argument};
use super::{
    Beat, Changed, Claim, Claimed, Directory, DirectoryError, EndReason, Ended, Holder,
    MAX_SNAPSHOT_BYTES, MAX_SPEC_BYTES, MemberRecord, MemberRow, Members, Move, Refused,
    Registered, SpecStored, Taken, check_size,
};
use crate::breaker::BreakerState;
use crate::ids::Bucket;
use crate::member_api::RoomSpec;
use crate::{Epoch, Incarnation, NodeId, PoolKey, RoomKey};

/// Members and claims of one pool in a single Redis.
///
/// Connects at the first call and again after every failure. The connection is driven by the runtime of the call that
/// made it: give [`crate::Membership`]'s thread one of its own.
#[derive(Debug)]
pub struct RedisDirectory {
    pool: PoolKey,
    link: Link,
}

impl RedisDirectory {
    /// Only reads the settings; Redis may be away. Fails for a URL that can't be read.
    pub fn new(settings: &RedisSettings, pool: PoolKey) -> Result<Self, DirectoryError> {
        Ok(Self {
            pool,
            link: Link::new(settings)?,
        })
    }

    /// State of the circuit breaker, for the metric and `/health`.
    pub fn breaker_state(&self) -> BreakerState {
        self.link.breaker_state()
    }

    async fn claims(&self, room: &RoomKey, arguments: &[&[u8]]) -> Result<Reply, DirectoryError> {
        let mut replies = self
            .pipeline([(
                room.bucket(),
                arguments.iter().map(|a| a.to_vec()).collect(),
            )])
            .await?;
        replies
            .pop()
            .ok_or_else(|| self.link.unreadable("an empty answer"))
    }

    /// One call of the claims script per entry, in one round trip.
    async fn pipeline(
        &self,
        calls: impl IntoIterator<Item = (Bucket, Vec<Vec<u8>>)>,
    ) -> Result<Vec<Reply>, DirectoryError> {
        let mut pipeline = Pipeline::new();
        for (bucket, arguments) in calls {
            let mut call = CLAIMS.prepare_invoke();
            for what in [
                "claims",
                "snapshots",
                "tombstones",
                "epoch",
                "ended",
                "specs",
            ] {
                call.key(self.pool.bucket_key(bucket, what));
            }
            for argument in &arguments {
                call.arg(argument.as_slice());
            }
            pipeline.invoke_script(&call);
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let answers: Vec<Vec<Bytes>> = self
            .link
            .run(async |mut link| pipeline.query_async(&mut link).await)
            .await?;
        answers
            .into_iter()
            .map(|parts| Reply::new(parts).ok_or_else(|| self.link.unreadable("an empty answer")))
            .collect()
    }

    async fn member_script(&self, arguments: &[&str]) -> Result<Reply, DirectoryError> {
        let mut pipeline = Pipeline::new();
        let mut call = MEMBERS.prepare_invoke();
        for what in ["records", "lives", "beats", "tombstones"] {
            call.key(self.pool.member_key(what));
        }
        for argument in arguments {
            call.arg(*argument);
        }
        pipeline.invoke_script(&call);
        let mut answers: Vec<Vec<Bytes>> = self
            .link
            .run(async |mut link| pipeline.query_async(&mut link).await)
            .await?;
        answers
            .pop()
            .and_then(Reply::new)
            .ok_or_else(|| self.link.unreadable("an empty answer"))
    }

    fn record_json(&self, record: &MemberRecord) -> Result<String, DirectoryError> {
        serde_json::to_string(record).map_err(|e| self.link.unreadable(e))
    }

    fn expect<T>(&self, value: Option<T>) -> Result<T, DirectoryError> {
        value.ok_or_else(|| self.link.unreadable("a script's answer"))
    }

    /// The answers that several operations share: who holds the room, or why not.
    fn changed(
        &self,
        room: &RoomKey,
        asker: Incarnation,
        mut reply: Reply,
    ) -> Result<Changed, DirectoryError> {
        match reply.word() {
            "done" => Ok(Changed::Done {
                epoch: Epoch::new(self.expect(reply.number())?),
            }),
            "held" => Ok(Changed::HeldBy(
                self.expect(read_claim(room.clone(), &mut reply))?,
            )),
            "absent" => Err(DirectoryError::Refused(Refused::NoClaim)),
            "tombstoned" => Err(DirectoryError::Refused(Refused::Tombstoned(asker))),
            word => Err(self.link.unreadable(format!("a script's answer {word:?}"))),
        }
    }

    fn must_be_done(
        &self,
        room: &RoomKey,
        asker: Incarnation,
        reply: Reply,
    ) -> Result<(), DirectoryError> {
        match self.changed(room, asker, reply)? {
            Changed::Done { .. } => Ok(()),
            Changed::HeldBy(claim) => Err(DirectoryError::Refused(Refused::NotHome(claim))),
        }
    }

    async fn field(&self, room: &RoomKey, what: &str) -> Result<Option<String>, DirectoryError> {
        let mut command = redis::cmd("HGET");
        command
            .arg(self.pool.bucket_key(room.bucket(), what))
            .arg(room.escaped());
        self.link
            .run(async |mut link| command.query_async(&mut link).await)
            .await
    }
}

#[async_trait]
impl Directory for RedisDirectory {
    async fn register(&self, record: &MemberRecord) -> Result<Registered, DirectoryError> {
        let me = &record.holder;
        let incarnation = me.incarnation.to_string();
        let json = self.record_json(record)?;
        let arguments = [
            "register",
            me.node.as_str(),
            &incarnation,
            &record.internal_address,
            &json,
        ];
        let mut reply = self.member_script(&arguments).await?;
        match reply.word() {
            "accepted" => {
                let replaced = self
                    .expect(reply.text())?
                    .parse()
                    .ok()
                    .map(Incarnation::new);
                if let Some(before) = replaced {
                    // The script could only reach the members' keys; rooms are guarded by their bucket's tombstone.
                    let dead = Holder {
                        node: me.node.clone(),
                        incarnation: before,
                    };
                    self.tombstone(&dead).await?;
                }
                Ok(Registered::Accepted { replaced })
            }
            "taken" => {
                let json = self.expect(reply.text())?;
                let by = serde_json::from_str(&json).map_err(|e| self.link.unreadable(e))?;
                Ok(Registered::NameTaken { by: Box::new(by) })
            }
            "tombstoned" => Ok(Registered::Tombstoned),
            word => Err(self.link.unreadable(format!("a script's answer {word:?}"))),
        }
    }

    async fn heartbeat(&self, record: &MemberRecord, counter: u64) -> Result<Beat, DirectoryError> {
        let incarnation = record.holder.incarnation.to_string();
        let json = self.record_json(record)?;
        let arguments = [
            "beat",
            record.holder.node.as_str(),
            &incarnation,
            &counter.to_string(),
            &json,
        ];
        let mut reply = self.member_script(&arguments).await?;
        match reply.word() {
            "accepted" => Ok(Beat::Accepted {
                previous: self.expect(reply.number())?,
            }),
            "unknown" => Ok(Beat::Unknown),
            "replaced" => Ok(Beat::Replaced {
                by: Incarnation::new(self.expect(reply.number())?),
            }),
            "tombstoned" => Ok(Beat::Tombstoned),
            word => Err(self.link.unreadable(format!("a script's answer {word:?}"))),
        }
    }

    async fn members(&self) -> Result<Members, DirectoryError> {
        let mut reply = self.member_script(&["list"]).await?;
        let mut members = Members::default();
        for _ in 0..self.expect(reply.number())? {
            let (json, beats) = (self.expect(reply.text())?, self.expect(reply.number())?);
            match serde_json::from_str(&json) {
                Ok(record) => members.rows.push(MemberRow { record, beats }),
                // One record that a far newer build wrote must not hide all the others.
                Err(error) => {
                    tracing::warn!(%error, "a member's record in redis can't be read and is skipped");
                }
            }
        }
        while !reply.is_at_end() {
            members
                .tombstones
                .insert(Incarnation::new(self.expect(reply.number())?));
        }
        members
            .rows
            .sort_by(|a, b| a.record.holder.cmp(&b.record.holder));
        Ok(members)
    }

    async fn tombstone(&self, dead: &Holder) -> Result<(), DirectoryError> {
        let incarnation = dead.incarnation.to_string();
        self.member_script(&["bury", dead.node.as_str(), &incarnation])
            .await?;
        self.pipeline(Bucket::all().map(|bucket| {
            (
                bucket,
                vec![b"bury".to_vec(), incarnation.clone().into_bytes()],
            )
        }))
        .await?;
        Ok(())
    }

    async fn claim(
        &self,
        room: &RoomKey,
        holder: &Holder,
        floor: Epoch,
        snapshot: Option<Bytes>,
    ) -> Result<Claimed, DirectoryError> {
        check_size(
            "a room's snapshot",
            snapshot.as_ref().map_or(0, Bytes::len),
            MAX_SNAPSHOT_BYTES,
        )?;
        let mut reply = self
            .claims(
                room,
                &[
                    b"claim",
                    room.escaped().as_bytes(),
                    holder.node.as_str().as_bytes(),
                    holder.incarnation.to_string().as_bytes(),
                    floor.to_string().as_bytes(),
                    &snapshot_argument(snapshot.as_ref()),
                ],
            )
            .await?;
        if reply.word() != "yours" {
            return match self.changed(room, holder.incarnation, reply)? {
                Changed::HeldBy(claim) => Ok(Claimed::HeldBy(claim)),
                Changed::Done { .. } => Err(self.link.unreadable("a claim's answer")),
            };
        }
        let epoch = Epoch::new(self.expect(reply.number())?);
        let new = self.expect(reply.text())? == "new";
        Ok(Claimed::Yours {
            epoch,
            new,
            snapshot: self.expect(reply.snapshot())?,
        })
    }

    async fn reassert(
        &self,
        claim: &Claim,
        snapshot: Option<Bytes>,
    ) -> Result<Changed, DirectoryError> {
        check_size(
            "a room's snapshot",
            snapshot.as_ref().map_or(0, Bytes::len),
            MAX_SNAPSHOT_BYTES,
        )?;
        let asker = claim.holder.incarnation;
        let reply = self
            .claims(
                &claim.room,
                &[
                    b"reassert",
                    claim.room.escaped().as_bytes(),
                    claim.holder.node.as_str().as_bytes(),
                    asker.to_string().as_bytes(),
                    claim.epoch.to_string().as_bytes(),
                    &snapshot_argument(snapshot.as_ref()),
                ],
            )
            .await?;
        self.changed(&claim.room, asker, reply)
    }

    async fn lookup(&self, room: &RoomKey) -> Result<Option<Claim>, DirectoryError> {
        let Some(value) = self.field(room, "claims").await? else {
            return Ok(None);
        };
        Ok(Some(self.expect(parse_claim(room.clone(), &value))?))
    }

    async fn save_snapshot(&self, claim: &Claim, snapshot: Bytes) -> Result<(), DirectoryError> {
        check_size("a room's snapshot", snapshot.len(), MAX_SNAPSHOT_BYTES)?;
        let asker = claim.holder.incarnation;
        let reply = self
            .claims(
                &claim.room,
                &[
                    b"save_snapshot",
                    claim.room.escaped().as_bytes(),
                    asker.to_string().as_bytes(),
                    claim.epoch.to_string().as_bytes(),
                    &snapshot_argument(Some(&snapshot)),
                ],
            )
            .await?;
        self.must_be_done(&claim.room, asker, reply)
    }

    async fn hand_over(
        &self,
        from: &Claim,
        to: &Holder,
        snapshot: Bytes,
    ) -> Result<Changed, DirectoryError> {
        check_size("a room's snapshot", snapshot.len(), MAX_SNAPSHOT_BYTES)?;
        let reply = self
            .claims(
                &from.room,
                &[
                    b"hand_over",
                    from.room.escaped().as_bytes(),
                    from.holder.incarnation.to_string().as_bytes(),
                    from.epoch.to_string().as_bytes(),
                    to.node.as_str().as_bytes(),
                    to.incarnation.to_string().as_bytes(),
                    &snapshot_argument(Some(&snapshot)),
                ],
            )
            .await?;
        self.changed(&from.room, to.incarnation, reply)
    }

    async fn release(&self, claim: &Claim, ended: Option<EndReason>) -> Result<(), DirectoryError> {
        let asker = claim.holder.incarnation;
        let reply = self
            .claims(
                &claim.room,
                &[
                    b"release",
                    claim.room.escaped().as_bytes(),
                    asker.to_string().as_bytes(),
                    claim.epoch.to_string().as_bytes(),
                    ended.map_or("", EndReason::as_str).as_bytes(),
                ],
            )
            .await?;
        self.must_be_done(&claim.room, asker, reply)
    }

    async fn last_end(&self, room: &RoomKey) -> Result<Option<Ended>, DirectoryError> {
        let Some(value) = self.field(room, "ended").await? else {
            return Ok(None);
        };
        let read = || {
            let (epoch, reason) = value.split_once(' ')?;
            Some(Ended {
                epoch: Epoch::new(epoch.parse().ok()?),
                reason: EndReason::from_name(reason)?,
            })
        };
        Ok(Some(self.expect(read())?))
    }

    async fn held_by(&self, incarnation: Incarnation) -> Result<Vec<Taken>, DirectoryError> {
        let asker = incarnation.to_string();
        let replies = self
            .pipeline(Bucket::all().map(|bucket| {
                (
                    bucket,
                    vec![b"held_by".to_vec(), asker.clone().into_bytes()],
                )
            }))
            .await?;
        let mut found = Vec::new();
        for mut reply in replies {
            while !reply.is_at_end() {
                let room =
                    self.expect(reply.text().and_then(|text| RoomKey::from_escaped(&text)))?;
                let epoch = Epoch::new(self.expect(reply.number())?);
                found.push(Taken {
                    room,
                    epoch,
                    snapshot: self.expect(reply.snapshot())?,
                });
            }
        }
        Ok(found)
    }

    async fn sweep(
        &self,
        dead: Incarnation,
        moves: Vec<Move>,
    ) -> Result<Vec<Claim>, DirectoryError> {
        let dead = dead.to_string().into_bytes();
        let mut by_bucket = std::collections::BTreeMap::<Bucket, Vec<Vec<u8>>>::new();
        for Move { room, to } in moves {
            let arguments = by_bucket.entry(room.bucket()).or_default();
            arguments.push(room.escaped().into_bytes());
            arguments.push(to.node.as_str().as_bytes().to_vec());
            arguments.push(to.incarnation.to_string().into_bytes());
        }
        // Lua's unpack takes at most some 8,000 values; a batch stays well below, and below 10 ms of Redis' time.
        let mut calls = Vec::new();
        for (bucket, moves) in by_bucket {
            for batch in moves.chunks(3 * SWEEP_BATCH) {
                let operation = [b"sweep".to_vec(), dead.clone()];
                calls.push((
                    bucket,
                    operation.into_iter().chain(batch.iter().cloned()).collect(),
                ));
            }
        }
        let mut moved = Vec::new();
        for mut reply in self.pipeline(calls).await? {
            while !reply.is_at_end() {
                let room =
                    self.expect(reply.text().and_then(|text| RoomKey::from_escaped(&text)))?;
                moved.push(self.expect(read_claim(room, &mut reply))?);
            }
        }
        Ok(moved)
    }

    async fn rooms(&self) -> Result<Vec<Claim>, DirectoryError> {
        let mut pipeline = Pipeline::new();
        for bucket in Bucket::all() {
            pipeline
                .cmd("HGETALL")
                .arg(self.pool.bucket_key(bucket, "claims"));
        }
        let answers: Vec<Vec<(String, String)>> = self
            .link
            .run(async |mut link| pipeline.query_async(&mut link).await)
            .await?;
        let mut claims = Vec::new();
        for (room, value) in answers.into_iter().flatten() {
            let room = self.expect(RoomKey::from_escaped(&room))?;
            claims.push(self.expect(parse_claim(room, &value))?);
        }
        Ok(claims)
    }

    async fn put_spec(
        &self,
        room: &RoomKey,
        spec: &RoomSpec,
    ) -> Result<SpecStored, DirectoryError> {
        let json = serde_json::to_vec(spec).map_err(|e| self.link.unreadable(e))?;
        check_size("a room's spec", json.len(), MAX_SPEC_BYTES)?;
        let mut reply = self
            .claims(
                room,
                &[
                    b"put_spec",
                    room.escaped().as_bytes(),
                    spec.uid.as_bytes(),
                    &json,
                ],
            )
            .await?;
        match reply.word() {
            "done" => Ok(SpecStored::Stored),
            "taken" => Ok(SpecStored::NameTaken {
                by: self.expect(reply.text())?,
            }),
            word => Err(self.link.unreadable(format!("a script's answer {word:?}"))),
        }
    }

    async fn get_spec(&self, room: &RoomKey) -> Result<Option<RoomSpec>, DirectoryError> {
        let Some(value) = self.field(room, "specs").await? else {
            return Ok(None);
        };
        let json = || {
            let (length, rest) = value.split_once(' ')?;
            rest.get(length.parse::<usize>().ok()? + 1..)
        };
        let spec =
            serde_json::from_str(self.expect(json())?).map_err(|e| self.link.unreadable(e))?;
        Ok(Some(spec))
    }

    async fn remove_spec(&self, room: &RoomKey, uid: &str) -> Result<(), DirectoryError> {
        self.claims(
            room,
            &[b"remove_spec", room.escaped().as_bytes(), uid.as_bytes()],
        )
        .await?;
        Ok(())
    }
}

/// Moves per call of the sweep script.
const SWEEP_BATCH: usize = 500;

/// Epoch, incarnation and node, as the scripts answer.
fn read_claim(room: RoomKey, reply: &mut Reply) -> Option<Claim> {
    let epoch = Epoch::new(reply.number()?);
    let incarnation = Incarnation::new(reply.number()?);
    Some(Claim {
        room,
        epoch,
        holder: Holder {
            incarnation,
            node: NodeId::new(reply.text()?).ok()?,
        },
    })
}

/// As it is stored: `epoch incarnation node`.
fn parse_claim(room: RoomKey, value: &str) -> Option<Claim> {
    let mut words = value.split(' ');
    let epoch = Epoch::new(words.next()?.parse().ok()?);
    let incarnation = Incarnation::new(words.next()?.parse().ok()?);
    Some(Claim {
        room,
        epoch,
        holder: Holder {
            incarnation,
            node: NodeId::new(words.next()?).ok()?,
        },
    })
}
