//! DescribeUserScramCredentials and AlterUserScramCredentials (KIP-554).
//!
//! As in Kafka, a user that is added so may log in where clients are asked to; that they are follows from the broker's set-up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use klamm::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
    ScramCredentialUpsertion,
};
use klamm::protocol::messages::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};
use klamm::protocol::{ErrorCode, Str};

use crate::core::configs::Refusal;
use crate::core::scram::{Credential, ITERATIONS};
use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};
use crate::script::SaslMechanism;

/// More would keep clients busy for too long, says Kafka.
const MAX_ITERATIONS: u32 = 16_384;

/// Mechanisms by their numbers in these requests.
const MECHANISMS: [(i8, SaslMechanism); 2] = [(1, SaslMechanism::ScramSha256), (2, SaslMechanism::ScramSha512)];

fn mechanism(number: i8) -> Result<SaslMechanism, Refusal> {
    let known = MECHANISMS.iter().find(|(known, _)| *known == number).map(|(_, mechanism)| *mechanism);
    known.ok_or_else(|| (ErrorCode::UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism".to_owned()))
}

impl Core {
    pub(super) fn describe_user_scram_credentials(
        &mut self,
        _: Instant,
        _: &Call,
        request: DescribeUserScramCredentialsRequest,
    ) -> Outcome<DescribeUserScramCredentialsResponse> {
        let asked = request.users.unwrap_or_default();
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        asked.iter().for_each(|user| *times.entry(user.name.as_str().to_owned()).or_default() += 1);
        if times.is_empty() {
            times = self.users.scram_users().map(|user| (user.to_owned(), 1)).collect();
        }
        let describe = |(user, times): (&String, &usize)| {
            let known = MECHANISMS.iter().filter_map(|(number, mechanism)| {
                let credential = self.users.credential(*mechanism, user)?;
                let iterations = i32::try_from(credential.iterations()).unwrap_or(i32::MAX);
                Some(CredentialInfo { mechanism: *number, iterations })
            });
            let credential_infos: Vec<_> = known.collect();
            let refused = match (times, credential_infos.is_empty()) {
                (2.., _) => Some((
                    ErrorCode::DUPLICATE_RESOURCE,
                    format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}"),
                )),
                (_, true) => Some((
                    ErrorCode::RESOURCE_NOT_FOUND,
                    format!("Attempt to describe a user credential that does not exist: {user}"),
                )),
                _ => None,
            };
            let user = text(user);
            match refused {
                Some((error_code, message)) => DescribeUserScramCredentialsResult {
                    user,
                    error_code,
                    error_message: Some(text(&message)),
                    credential_infos: Vec::new(),
                },
                None => DescribeUserScramCredentialsResult {
                    user,
                    error_message: Some(Str::default()),
                    credential_infos,
                    ..DescribeUserScramCredentialsResult::default()
                },
            }
        };
        let results = times.iter().map(describe).collect();
        // Kafka says of success what NONE says: nothing, but as a text.
        Outcome::Reply(DescribeUserScramCredentialsResponse {
            results,
            error_message: Some(Str::default()),
            ..Default::default()
        })
    }

    pub(super) fn alter_user_scram_credentials(
        &mut self,
        _: Instant,
        _: &Call,
        request: AlterUserScramCredentialsRequest,
    ) -> Outcome<AlterUserScramCredentialsResponse> {
        let deleted = request.deletions.iter().map(|deletion| (&deletion.name, deletion.mechanism));
        let set = request.upsertions.iter().map(|upsertion| (&upsertion.name, upsertion.mechanism));
        let mut verdicts: BTreeMap<Str, Result<(), Refusal>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for change in deleted.chain(set) {
            let verdict = verdicts.entry(change.0.clone()).or_insert(Ok(()));
            if !seen.insert(change) {
                let message = "A user credential cannot be altered twice in the same request".to_owned();
                *verdict = Err((ErrorCode::DUPLICATE_RESOURCE, message));
            }
        }
        // All of a user's changes or none.
        for deletion in &request.deletions {
            let checked = name_of(&deletion.name).and_then(|()| mechanism(deletion.mechanism)).and_then(|mechanism| {
                let known = self.users.credential(mechanism, deletion.name.as_str());
                let missing = || "Attempt to delete a user credential that does not exist".to_owned();
                known.map(|_| ()).ok_or_else(|| (ErrorCode::RESOURCE_NOT_FOUND, missing()))
            });
            note(&mut verdicts, &deletion.name, checked);
        }
        for upsertion in &request.upsertions {
            note(&mut verdicts, &upsertion.name, check(upsertion));
        }
        let is_fine = |name: &Str| verdicts.get(name).is_some_and(Result::is_ok);
        for deletion in request.deletions.iter().filter(|deletion| is_fine(&deletion.name)) {
            if let Ok(mechanism) = mechanism(deletion.mechanism) {
                self.users.remove(mechanism, deletion.name.as_str());
            }
        }
        for upsertion in request.upsertions.iter().filter(|upsertion| is_fine(&upsertion.name)) {
            if let (Ok(mechanism), Ok(iterations)) = (mechanism(upsertion.mechanism), u32::try_from(upsertion.iterations)) {
                let credential = Credential::salted(mechanism, &upsertion.salt.0, iterations, &upsertion.salted_password.0);
                self.users.set_credential(mechanism, upsertion.name.as_str(), credential);
            }
        }
        let result = |(user, verdict): (Str, Result<(), Refusal>)| {
            let (error_code, error_message) = match verdict {
                Ok(()) => (ErrorCode::NONE, None),
                Err((code, message)) => (code, Some(text(&message))),
            };
            AlterUserScramCredentialsResult { user, error_code, error_message }
        };
        let results = verdicts.into_iter().map(result).collect();
        Outcome::Reply(AlterUserScramCredentialsResponse { results, ..Default::default() })
    }
}

/// Of several refusals the first is told.
fn note(verdicts: &mut BTreeMap<Str, Result<(), Refusal>>, user: &Str, checked: Result<(), Refusal>) {
    if let Some(verdict) = verdicts.get_mut(user)
        && verdict.is_ok()
    {
        *verdict = checked;
    }
}

fn name_of(name: &Str) -> Result<(), Refusal> {
    match name.as_str() {
        "" => Err((ErrorCode::UNACCEPTABLE_CREDENTIAL, "Username must not be empty".to_owned())),
        _ => Ok(()),
    }
}

fn check(upsertion: &ScramCredentialUpsertion) -> Result<(), Refusal> {
    name_of(&upsertion.name)?;
    mechanism(upsertion.mechanism)?;
    let unacceptable = |message: &str| Err((ErrorCode::UNACCEPTABLE_CREDENTIAL, message.to_owned()));
    match u32::try_from(upsertion.iterations) {
        Ok(ITERATIONS..=MAX_ITERATIONS) => Ok(()),
        Ok(iterations) if iterations > MAX_ITERATIONS => unacceptable("Too many iterations"),
        _ => unacceptable("Too few iterations"),
    }
}
