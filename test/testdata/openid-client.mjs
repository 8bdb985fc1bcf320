// An application in Node: people sign in through openid-client, and the gate tells
// it from afar when that is over. openid_peers_test.go walks a browser through it.
//
//   node openid-client.mjs ISSUER CLIENT SECRET PORT

import http from 'node:http'
import * as client from 'openid-client'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const [issuer, id, secret, port] = process.argv.slice(2)
const here = `http://127.0.0.1:${port}`
const config = await client.discovery(new URL(issuer), id, {}, client.ClientSecretBasic(secret), {
  execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
})
const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))

const begun = new Map() // state → what this sign-in must come back with
const sessions = new Map() // a cookie → who is there
let heard = 0

const cookieOf = (req) => /(?:^|; )app=([^;]+)/.exec(req.headers.cookie ?? '')?.[1]

const pages = {
  async '/login'(req, url) {
    const verifier = client.randomPKCECodeVerifier()
    const state = client.randomState()
    const nonce = client.randomNonce()
    begun.set(state, { verifier, nonce })
    const to = await client.buildAuthorizationUrlWithPAR(config, {
      redirect_uri: `${here}/callback`,
      scope: 'openid profile email offline_access',
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
      acr_values: 'aal2',
      max_age: '3600',
    })
    return { location: to.href }
  },

  async '/callback'(req, url) {
    const state = url.searchParams.get('state')
    const { verifier, nonce } = begun.get(state) ?? {}
    begun.delete(state)
    const tokens = await client.authorizationCodeGrant(config, new URL(url.pathname + url.search, here), {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: nonce,
      maxAge: 3600,
      idTokenExpected: true,
    })
    const cookie = client.randomState()
    sessions.set(cookie, { tokens, claims: tokens.claims() })
    return { cookie, json: { claims: tokens.claims() } }
  },

  async '/me'(req, url, session) {
    const { tokens, claims } = session
    const access = await jwtVerify(tokens.access_token, keys, {
      issuer, typ: 'at+jwt', algorithms: ['ES256'], requiredClaims: ['aud', 'sub', 'client_id', 'iat', 'exp', 'jti'],
    })
    return {
      json: {
        info: await client.fetchUserInfo(config, tokens.access_token, claims.sub),
        access: access.payload,
        state: await client.tokenIntrospection(config, tokens.access_token),
        token: tokens.access_token,
      },
    }
  },

  async '/refresh'(req, url, session) {
    const tokens = await client.refreshTokenGrant(config, session.tokens.refresh_token)
    session.before = session.tokens
    session.tokens = tokens
    return { json: { rotated: tokens.refresh_token !== session.before.refresh_token, token: tokens.access_token } }
  },

  // What a thief of the former refresh token would do.
  async '/again'(req, url, session) {
    await client.refreshTokenGrant(config, session.before.refresh_token)
    return { json: {} }
  },

  async '/revoke'(req, url, session) {
    await client.tokenRevocation(config, session.tokens.refresh_token)
    return { json: { state: await client.tokenIntrospection(config, session.tokens.access_token) } }
  },

  async '/logout'(req, url, session) {
    sessions.delete(cookieOf(req))
    const to = client.buildEndSessionUrl(config, {
      post_logout_redirect_uri: `${here}/`, id_token_hint: session.tokens.id_token, state: 'bye',
    })
    return { location: to.href }
  },

  // The gate tells us that a session is over.
  async 'POST /backchannel'(req) {
    let body = ''
    for await (const chunk of req) body += chunk
    const { payload } = await jwtVerify(new URLSearchParams(body).get('logout_token'), keys, {
      issuer, audience: id, typ: 'logout+jwt', algorithms: ['ES256'], requiredClaims: ['sid', 'sub', 'iat', 'exp', 'jti', 'events'],
    })
    if (!payload.events['http://schemas.openid.net/event/backchannel-logout'] || 'nonce' in payload) throw new Error('no logout token')
    for (const [cookie, session] of sessions) if (session.claims.sid === payload.sid) sessions.delete(cookie)
    heard++
    return { json: { heard } }
  },
}

http.createServer(async (req, res) => {
  const url = new URL(req.url, here)
  const page = pages[url.pathname] ?? pages[`${req.method} ${url.pathname}`]
  try {
    const session = sessions.get(cookieOf(req))
    if (!page) return res.writeHead(404).end()
    if (page.length > 2 && !session) return res.writeHead(401).end()
    const out = await page(req, url, session)
    if (out.cookie) res.setHeader('Set-Cookie', `app=${out.cookie}; HttpOnly; Path=/`)
    if (out.location) return res.writeHead(303, { Location: out.location }).end()
    res.setHeader('Content-Type', 'application/json')
    res.end(JSON.stringify(out.json))
  } catch (err) {
    res.writeHead(400, { 'Content-Type': 'application/json' })
    res.end(JSON.stringify({ error: err.error ?? err.code ?? err.message, cause: String(err.cause ?? '') }))
  }
}).listen(Number(port), '127.0.0.1')
