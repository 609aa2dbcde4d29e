use axum::http::HeaderValue;

use super::*;

const ANYWHERE: &str = "0.0.0.0:8000";
const LOOPBACK: &str = "127.0.0.1:8000";

fn token(secret: &str, scopes: &str) -> TokenText {
    TokenText::from(Token::of_secret(secret, scopes.parse().unwrap(), None).to_string())
}

fn access(listen: &str, change: impl FnOnce(&mut AccessSettings)) -> Result<Access, AccessError> {
    let mut settings = AccessSettings::default();
    change(&mut settings);
    Access::new(&settings, listen.parse().unwrap())
}

fn principal(access: &Access, authorization: Option<&'static str>) -> Result<Principal, AuthError> {
    let mut headers = HeaderMap::new();
    headers.extend(authorization.map(|text| (header::AUTHORIZATION, HeaderValue::from_static(text))));
    access.principal(Peer("192.0.2.1".parse().unwrap()), &headers)
}

fn limits(principal: &Principal) -> Result<RecordingLimits, AuthError> {
    principal.recording().map(|terms| terms.limits)
}

#[test]
fn server_without_tokens_must_listen_on_loopback() {
    for listen in [ANYWHERE, "192.0.2.1:8000", "[::]:8000", "[2001:db8::1]:1"] {
        let refused = access(listen, |_settings| {}).unwrap_err().to_string();
        assert!(refused.starts_with(listen) && refused.contains("--tokens-file"), "{refused}");
        assert!(access(listen, |settings| settings.anonymous = vec![Scope::Reports]).is_ok());
        assert!(access(listen, |settings| settings.token = vec![token("a", "reports")]).is_ok());
    }
    for listen in [LOOPBACK, "127.9.9.9:1", "[::1]:8000", "[::ffff:127.0.0.1]:8000"] {
        assert!(access(listen, |_settings| {}).is_ok(), "{listen}");
    }
}

#[test]
fn loopback_server_without_tokens_is_open_whatever_the_authorization() {
    let access = access(LOOPBACK, |settings| settings.rate_limit = 1).unwrap();
    for shown in [None, Some("Bearer x"), Some("Basic eDp5")] {
        let principal = principal(&access, shown).unwrap();
        assert_eq!(limits(&principal), Ok(RecordingLimits::WIDEST));
        assert!(principal.recording().ok().unwrap().count(1_000_000).is_ok(), "increments are not limited");
        assert_eq!(principal.require_scope(Scope::Reports), Ok(()));
        assert!(principal.limit_key().is_none());
        assert!((0..10_000).all(|_| principal.check_rate().is_ok()), "requests are not limited");
    }
}

#[test]
fn token_grants_its_scopes_and_no_others() {
    let access = access(LOOPBACK, |settings| {
        settings.token = vec![token("r", "reports"), token("i", "increments"), token("both", "reports,increments")];
    })
    .unwrap();
    let may = |shown| {
        let principal = principal(&access, Some(shown)).unwrap();
        (limits(&principal), principal.require_scope(Scope::Reports), principal.require_any_scope())
    };
    let no = |scope| Err(AuthError::NoScope(scope));
    assert_eq!(may("Bearer r"), (no(Scope::Increments).map(|()| RecordingLimits::WIDEST), Ok(()), Ok(())));
    assert_eq!(may("bearer  i"), (Ok(RecordingLimits::WIDEST), no(Scope::Reports), Ok(())));
    assert_eq!(may("Bearer both"), (Ok(RecordingLimits::WIDEST), Ok(()), Ok(())));
    for (shown, denied) in [
        ("Bearer x", AuthError::WrongToken),
        ("Bearer ", AuthError::WrongToken),
        ("Bearer", AuthError::NotBearer),
        ("r", AuthError::NotBearer),
        ("", AuthError::NotBearer),
        ("Basic r", AuthError::NotBearer),
    ] {
        assert_eq!(principal(&access, Some(shown)).err(), Some(denied), "{shown}");
    }
    let nobody = principal(&access, None).unwrap();
    assert_eq!(nobody.require_any_scope(), Err(AuthError::NoToken));
    assert_eq!(nobody.require_scope(Scope::Reports), Err(AuthError::NoToken));
}

#[test]
fn anonymous_client_has_the_anonymous_scopes_and_limits() {
    let access = access(ANYWHERE, |settings| {
        settings.anonymous = vec![Scope::Increments];
        settings.token = vec![token("r", "reports")];
    })
    .unwrap();
    let anonymous = principal(&access, None).unwrap();
    assert_eq!(limits(&anonymous), Ok(RecordingLimits::anonymous(100, 1)));
    assert_eq!(anonymous.require_scope(Scope::Reports), Err(AuthError::NoToken));
    assert_eq!(principal(&access, Some("Bearer x")).err(), Some(AuthError::WrongToken), "wrong is not anonymous");
    assert_eq!(limits(&principal(&access, Some("Bearer r")).unwrap()), Err(AuthError::NoScope(Scope::Increments)));
}

#[test]
fn each_token_and_address_has_its_own_rate_limit_and_wrong_tokens_count() {
    let access = access(LOOPBACK, |settings| {
        settings.token = vec![token("a", "reports"), token("b", "reports")];
        settings.rate_limit = 1;
        settings.rate_burst = NonZeroU32::new(3).unwrap();
    })
    .unwrap();
    let denied = |shown| principal(&access, shown).err();
    assert_eq!([(); 4].map(|()| denied(Some("Bearer a"))), [None, None, None, Some(AuthError::TooOften(1))]);
    assert_eq!(denied(Some("Bearer b")), None);
    let wrong = Some(AuthError::WrongToken);
    assert_eq!([(); 4].map(|()| denied(Some("Bearer x"))), [wrong, wrong, wrong, Some(AuthError::TooOften(1))]);
    assert_eq!(denied(None), Some(AuthError::TooOften(1)), "wrong tokens counted against the address");
}

#[test]
fn each_increment_counts_against_the_rate_limit() {
    let access = access(ANYWHERE, |settings| {
        settings.anonymous = vec![Scope::Increments];
        settings.token = vec![token("a", "increments"), token("b", "increments")];
        (settings.rate_limit, settings.rate_burst) = (1, NonZeroU32::new(100).unwrap());
        (settings.rate_limit_increments, settings.rate_burst_increments) = (1, NonZeroU32::new(200).unwrap());
    })
    .unwrap();
    let recording = |shown| principal(&access, shown).unwrap().recording().ok().unwrap();
    let refused = |counted: Result<(), AuthError>| counted.err().map(|refused| refused.to_string()).unwrap_or_default();
    let wait = "too many increments, try again in ";
    let anonymous = recording(None);
    let message = "input.increments must be at most 100, which is --rate-burst, not 101";
    assert_eq!(refused(anonymous.count(101)), message);
    assert_eq!(refused(recording(None).count(60)), "", "two operations, of which the second has 60 increments");
    assert!(refused(anonymous.count(60)).starts_with(wait), "only 39 are left");
    assert_eq!(refused(anonymous.count(39)), "");
    assert!((0..39).any(|_| principal(&access, None).is_err()), "increments without a token count as requests");

    let known = recording(Some("Bearer a"));
    let message = "input.increments must be at most 200, which is --rate-burst-increments, not 201";
    assert_eq!(refused(known.count(201)), message);
    assert_eq!(refused(known.count(200)), "");
    assert!(refused(known.count(200)).starts_with(wait));
    assert!((0..50).all(|_| principal(&access, Some("Bearer a")).is_ok()), "requests are limited apart");
    assert_eq!(refused(recording(Some("Bearer b")).count(200)), "", "each token has a limit of its own");
}

/// A line of a file of tokens.
fn of(secret: &str) -> String {
    format!("{}\n", Token::of_secret(secret, "reports".parse().unwrap(), None))
}

#[test]
fn rates_go_on_when_tokens_are_replaced() {
    let access = access(LOOPBACK, |settings| {
        settings.token = vec![token("a", "reports"), token("b", "reports")];
        (settings.rate_limit, settings.rate_burst) = (1, NonZeroU32::new(2).unwrap());
    })
    .unwrap();
    let may = |shown| principal(&access, Some(shown)).is_ok();
    assert_eq!([(); 3].map(|()| may("Bearer b")), [true, true, false]);
    let changes = access.replace_tokens(vec![of("new").trim().parse().unwrap(), of("b").trim().parse().unwrap()]);
    assert_eq!((changes.tokens, changes.added, changes.removed), (2, 1, 1));
    assert!(!may("Bearer b"), "b has sent its requests, wherever its line stands");
    assert!(may("Bearer new") && !may("Bearer a"));
}

#[test]
fn principal_has_the_rights_that_its_token_has_now() {
    let access = access(LOOPBACK, |settings| {
        settings.anonymous = vec![Scope::Increments];
        settings.token = vec![token("a", "reports")];
    })
    .unwrap();
    let replace = |lines: &[&str]| {
        access.replace_tokens(lines.iter().map(|scopes| Token::of_secret("a", scopes.parse().unwrap(), None)).collect())
    };
    let (first, anonymous) = (principal(&access, Some("Bearer a")).unwrap(), principal(&access, None).unwrap());
    replace(&["increments,reports"]);
    assert_eq!(first.require_scope(Scope::Increments), Err(AuthError::NoScope(Scope::Increments)));
    let more = first.renewed().unwrap_or_else(|_| panic!("it has more rights"));
    assert_eq!(more.require_scope(Scope::Increments), Ok(()));
    replace(&["reports"]);
    assert_eq!(more.renewed().err(), Some(AuthError::ScopeRemoved(Scope::Increments)));
    assert!(first.renewed().is_ok());
    replace(&[]);
    assert_eq!(first.renewed().err(), Some(AuthError::TokenRemoved));
    assert!(anonymous.renewed().is_ok());
}

#[test]
fn tokens_file_is_read_line_by_line() {
    let folder = std::env::temp_dir().join(format!("analytics-tokens-{}", std::process::id()));
    let read = |text: &str| {
        std::fs::write(&folder, text).unwrap();
        access(LOOPBACK, |settings| settings.tokens_file = Some(folder.clone()))
    };
    let line = Token::of_secret("a", Scopes::WITHOUT_TOKEN, "shop".parse().ok()).to_string();
    let known = read(&format!("# of the dashboard\n\n  {line}\r\n")).unwrap();
    assert!(principal(&known, Some("Bearer a")).is_ok());
    assert!(matches!(read(&format!("{line}\nsecret\n")), Err(AccessError::Line { number: 2, .. })));
    assert!(matches!(read("# none\n"), Err(AccessError::NoTokens)), "the server would be open otherwise");
    let lines = |count: usize| (0..count).map(|number| of(&number.to_string())).collect::<String>();
    assert!(read(&format!("# {}\n{}", "x".repeat(800_000), lines(1_000))).is_ok());
    let too_many = read(&format!("# one more\n{}", lines(1_001))).unwrap_err();
    let message = "--tokens-file, line 1002: there must be at most 1000 tokens, those of --token included";
    assert_eq!(too_many.to_string(), message);
    let too_long = read(&format!("{line}\n# {}", "x".repeat(1_048_576))).unwrap_err();
    assert_eq!(too_long.to_string(), "--tokens-file must be at most 1048576 bytes");
    std::fs::write(&folder, [line.as_bytes(), b"\n# \xff\n"].concat()).unwrap();
    let no_text = access(LOOPBACK, |settings| settings.tokens_file = Some(folder.clone())).unwrap_err();
    assert_eq!(no_text.to_string(), "--tokens-file, line 2: not UTF-8");
    std::fs::remove_file(&folder).unwrap();
    let gone = access(LOOPBACK, |settings| settings.tokens_file = Some(folder.clone()));
    assert!(matches!(gone, Err(AccessError::File { .. })));
}
