// A JsSIP phone under Node: commands come as JSON lines on standard input, events go to standard output.
//
//     node jssip_phone.js '{"url": "ws://...", "uri": "sip:alice@example.test", "password": "...", ...}'
//
// Everything of SIP and of the WebSocket is real. Media is none: in the place of a browser's WebRTC stands a
// peer connection that says what one would say in SDP, and sends nothing.
'use strict';

const options = JSON.parse(process.argv[2]);
const WebSocket = require('ws');
const fs = require('fs');

function tell(event, more) {
  process.stdout.write(JSON.stringify({ event, ...more }) + '\n');
}

// A browser's socket: it names the page in Origin, and its user can trust an authority.
global.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    const more = { origin: options.origin };
    if (options.ca) more.ca = fs.readFileSync(options.ca);
    if (options.address) more.localAddress = options.address;
    super(url, protocols, more);
    this.on('close', (code, reason) => tell('socket', { state: 'closed', code, reason: String(reason) }));
    this.on('unexpected-response', (request, response) => tell('socket', { state: 'refused', code: response.statusCode }));
    this.on('ping', () => tell('socket', { state: 'pinged' }));
  }
};

let serial = 0;

class PeerConnection extends EventTarget {
  constructor() {
    super();
    this.signalingState = 'stable';
    this.iceConnectionState = 'new';
    this.iceGatheringState = 'complete';
    this.localDescription = null;
    this.remoteDescription = null;
  }

  describe() {
    serial += 1;
    if (options.plain) {
      return [
        'v=0', `o=- ${process.pid} ${serial} IN IP4 ${options.address}`, 's=-', `c=IN IP4 ${options.address}`, 't=0 0',
        'm=audio 40000 RTP/AVP 0 8', 'a=rtpmap:0 PCMU/8000', 'a=rtpmap:8 PCMA/8000', 'a=sendrecv', '',
      ].join('\r\n');
    }
    return [
      'v=0', `o=- ${process.pid} ${serial} IN IP4 127.0.0.1`, 's=-', 't=0 0', 'a=group:BUNDLE 0',
      'm=audio 9 UDP/TLS/RTP/SAVPF 111 0 8', 'c=IN IP4 0.0.0.0', 'a=rtcp:9 IN IP4 0.0.0.0', 'a=ice-ufrag:abcd',
      'a=ice-pwd:abcdefghijklmnopqrstuvwx', `a=fingerprint:sha-256 ${Array(32).fill('AB').join(':')}`,
      'a=setup:actpass', 'a=mid:0', 'a=sendrecv', 'a=rtcp-mux', 'a=rtpmap:111 opus/48000/2', 'a=rtpmap:0 PCMU/8000',
      'a=rtpmap:8 PCMA/8000', '',
    ].join('\r\n');
  }

  async createOffer() { return { type: 'offer', sdp: this.describe() }; }

  async createAnswer() { return { type: 'answer', sdp: this.describe().replace('actpass', 'active') }; }

  async setLocalDescription(description) {
    this.localDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
  }

  async setRemoteDescription(description) {
    this.remoteDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
  }

  getSenders() { return []; }

  getReceivers() { return []; }

  addTrack() { return {}; }

  close() { this.signalingState = 'closed'; }
}

global.RTCPeerConnection = PeerConnection;
global.RTCSessionDescription = class { constructor(init) { Object.assign(this, init); } };
global.MediaStream = class { getTracks() { return []; } };
global.window = global;

const JsSIP = require('jssip');

const socket = new JsSIP.WebSocketInterface(options.url);
const agent = new JsSIP.UA({
  sockets: [socket],
  uri: options.uri,
  password: options.password,
  register: options.register !== false,
  session_timers: false,
  connection_recovery_min_interval: 1,
  ...(options.expires ? { register_expires: options.expires } : {}),
});
let session = null;

agent.on('connected', () => tell('socket', { state: 'open' }));
agent.on('registered', (data) => tell('registered', { status: data.response.status_code }));
agent.on('unregistered', () => tell('unregistered', {}));
agent.on('registrationFailed', (data) => tell('unregistered', { status: data.response ? data.response.status_code : 0, cause: data.cause }));
agent.on('newMessage', (data) => {
  if (data.originator === 'remote') tell('message', { text: data.request.body });
});
agent.on('newRTCSession', (data) => {
  session = data.session;
  tell('call', { state: data.originator === 'remote' ? 'incoming' : 'outgoing', id: data.request.call_id });
  session.on('progress', (one) => tell('call', { state: 'ringing', by: one.originator }));
  session.on('confirmed', () => tell('call', { state: 'confirmed', sdp: session.connection.remoteDescription.sdp }));
  session.on('hold', (one) => tell('call', { state: 'held', by: one.originator }));
  session.on('unhold', (one) => tell('call', { state: 'resumed', by: one.originator }));
  session.on('ended', (one) => tell('call', { state: 'ended', by: one.originator, cause: one.cause }));
  session.on('failed', (one) => tell('call', {
    state: 'failed', by: one.originator, cause: one.cause, status: one.message && one.message.status_code,
  }));
});

const media = { mediaConstraints: { audio: false, video: false } };
const commands = {
  call: ({ uri }) => agent.call(uri, media),
  answer: () => session.answer(media),
  refuse: () => session.terminate({ status_code: 486 }),
  hang_up: () => session.terminate(),
  hold: () => session.hold(),
  resume: () => session.unhold(),
  message: (given) => agent.sendMessage(given.uri, given.text, {
    eventHandlers: {
      succeeded: () => tell('sent', { status: 200 }),
      failed: (data) => tell('sent', { status: data.response ? data.response.status_code : 0 }),
    },
  }),
  drop: () => socket._ws.terminate(),
  unregister: () => agent.unregister(),
  stop: () => agent.stop(),
};

require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { do: name, ...given } = JSON.parse(line);
  commands[name](given);
}).on('close', () => process.exit(0));

agent.start();
