"""A phone made of PJSIP, as a program: `pjsip_phone.py SETTINGS`; a crash in it is not one of the tests.

SETTINGS is a JSON object (see `Phone`). Commands are JSON objects on standard input, one a line,
{"do": NAME, ...}; events are JSON objects on standard output. One thread does it all: PJSIP and Python's
threads do not mix.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

import pjsua2 as pj

_STATES = {
    pj.PJSIP_INV_STATE_CALLING: "calling",
    pj.PJSIP_INV_STATE_INCOMING: "incoming",
    pj.PJSIP_INV_STATE_EARLY: "early",
    pj.PJSIP_INV_STATE_CONNECTING: "connecting",
    pj.PJSIP_INV_STATE_CONFIRMED: "confirmed",
    pj.PJSIP_INV_STATE_DISCONNECTED: "disconnected",
}
_DIRECTIONS = {
    pj.PJMEDIA_DIR_NONE: "none",
    pj.PJMEDIA_DIR_ENCODING: "send",
    pj.PJMEDIA_DIR_DECODING: "receive",
    pj.PJMEDIA_DIR_ENCODING_DECODING: "both",
}
_TRANSPORTS = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}


def tell(event: str, **fields: Any) -> None:
    """Write an event."""
    os.write(1, json.dumps({"event": event, **fields}).encode() + b"\n")


class Log(pj.LogWriter):  # type: ignore[misc]
    """Writes what PJSIP logs at once: into its own log file it writes a block at a time."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def write(self, entry: pj.LogEntry) -> None:
        os.write(self.file, entry.msg.encode("utf-8", "surrogateescape"))


class Call(pj.Call):  # type: ignore[misc]
    """Tells what happens in a call, and sends a tone into it."""

    phone: Phone

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        info = self.getInfo()
        tell(
            "call",
            state=_STATES.get(info.state, "none"),
            status=info.lastStatusCode,
            reason=info.lastReason,
            call_id=info.callIdString,
            remote=info.remoteUri,
        )
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.phone.gone(self)

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        info = self.getInfo()  # its parts do not outlive it
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO:
                tell(
                    "media",
                    direction=_DIRECTIONS[media.dir],
                    held=media.status == pj.PJSUA_CALL_MEDIA_REMOTE_HOLD,
                )
                if media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                    self.phone.tone.startTransmit(self.getAudioMedia(index))

    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:
        event = prm.e
        if event.type != pj.PJSIP_EVENT_TSX_STATE:
            return
        transaction = event.body.tsxState.tsx
        if transaction.state in (pj.PJSIP_TSX_STATE_COMPLETED, pj.PJSIP_TSX_STATE_TRYING):
            tell(
                "transaction",
                method=transaction.method,
                status=transaction.statusCode,
                ours=transaction.role == pj.PJSIP_ROLE_UAC,
            )

    def onInstantMessage(self, prm: pj.OnInstantMessageParam) -> None:
        tell("message", sender=prm.fromUri, body=prm.msgBody)

    def onInstantMessageStatus(self, prm: pj.OnInstantMessageStatusParam) -> None:
        tell("message_status", status=prm.code, body=prm.msgBody)

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        tell("transfer", to=prm.dstUri)
        prm.newCall = self.phone.new_call()

    def onCallTransferStatus(self, prm: pj.OnCallTransferStatusParam) -> None:
        tell("transfer_status", status=prm.statusCode, final=prm.finalNotify)

    def onDtmfDigit(self, prm: pj.OnDtmfDigitParam) -> None:
        tell("dtmf", digit=prm.digit, method=prm.method)


class Account(pj.Account):  # type: ignore[misc]
    """Tells what happens to the account."""

    phone: Phone

    def onRegState(self, prm: pj.OnRegStateParam) -> None:
        info = self.getInfo()
        tell(
            "registration",
            status=prm.code,
            reason=prm.reason,
            active=info.regIsActive and prm.code == 200,
            expires=prm.expiration,
        )

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        call = self.phone.new_call(prm.callId)
        info = call.getInfo()
        tell("incoming", remote=info.remoteUri, call_id=info.callIdString)

    def onInstantMessage(self, prm: pj.OnInstantMessageParam) -> None:
        tell("message", sender=prm.fromUri, body=prm.msgBody)

    def onInstantMessageStatus(self, prm: pj.OnInstantMessageStatusParam) -> None:
        tell("message_status", status=prm.code, body=prm.msgBody)

    def onMwiInfo(self, prm: pj.OnMwiInfoParam) -> None:
        tell("mailbox", body=prm.rdata.wholeMsg.partition("\r\n\r\n")[2])


class Buddy(pj.Buddy):  # type: ignore[misc]
    """Somebody whose presence is watched."""

    def onBuddyState(self) -> None:
        info = self.getInfo()
        tell("buddy", uri=info.uri, online=info.presStatus.status == pj.PJSUA_BUDDY_STATUS_ONLINE)


class Phone:
    """One account, one transport, a null sound device.

    Settings: `user`, `domain`, `password`, `host` (ours), `proxy` (URI that all requests are sent to),
    `transport`, `expires`, `ca` (file, or "" to trust any certificate), `certificate` and `key` (files of
    ours, or ""), `rtp_port`, `prack` (demand that provisional responses are acknowledged), `all_codecs`
    (offer all, not PCMU alone: a request too large for one packet), `mailbox` (watch our own), `publish`
    (publish our presence), `log` (file for all messages).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.calls: list[Call] = []
        self.buddies: list[Buddy] = []
        self.endpoint = endpoint = pj.Endpoint()
        endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.logConfig.level = 5
        config.logConfig.consoleLevel = 5
        # PJSIP belongs to it then: it must not be collected before.
        config.logConfig.writer = Log(settings["log"]).__disown__()
        config.medConfig.hasIoqueue = True
        endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.boundAddress = settings["host"]
        if settings["ca"]:
            transport.tlsConfig.CaListFile = settings["ca"]
            transport.tlsConfig.verifyServer = True
        transport.tlsConfig.certFile = settings["certificate"]
        transport.tlsConfig.privKeyFile = settings["key"]
        endpoint.transportCreate(_TRANSPORTS[settings["transport"]], transport)
        endpoint.libStart()
        endpoint.audDevManager().setNullDev()
        for codec in endpoint.codecEnum2():
            wanted = settings["all_codecs"] or codec.codecId.startswith("PCMU/")
            endpoint.codecSetPriority(codec.codecId, 128 if wanted else 0)
        self.tone = pj.ToneGenerator()
        self.tone.createToneGenerator(8000, 1)
        tone = pj.ToneDesc()
        tone.freq1, tone.on_msec, tone.off_msec = 440, 1000, 0
        tones = pj.ToneDescVector()
        tones.append(tone)
        self.tone.play(tones, True)
        self.account = Account()
        self.account.phone = self
        self.account.create(self._account())
        tell("ready")

    def _account(self) -> pj.AccountConfig:
        settings = self.settings
        config = pj.AccountConfig()
        config.idUri = f"sip:{settings['user']}@{settings['domain']}"
        config.regConfig.registrarUri = f"sip:{settings['domain']}"
        config.regConfig.timeoutSec = settings["expires"]
        config.regConfig.registerOnAdd = settings["expires"] > 0
        config.sipConfig.proxies.append(f"{settings['proxy']};lr")
        config.sipConfig.authCreds.append(
            pj.AuthCredInfo(
                "digest", "*", settings["user"], pj.PJSIP_CRED_DATA_PLAIN_PASSWD, settings["password"]
            )
        )
        if settings["prack"]:
            config.callConfig.prackUse = pj.PJSUA_100REL_MANDATORY
        # Else it makes offers of its own accord, until one codec is left, and a test counts offers.
        config.mediaConfig.lockCodecEnabled = False
        config.mediaConfig.transportConfig.boundAddress = settings["host"]
        config.mediaConfig.transportConfig.port = settings["rtp_port"]
        config.mwiConfig.enabled = settings["mailbox"]
        config.presConfig.publishEnabled = settings["publish"]
        return config

    def new_call(self, number: int = pj.PJSUA_INVALID_ID) -> Call:
        """A call that is kept until it ends: Python must not forget it."""
        call = Call(self.account, number)
        call.phone = self
        self.calls.append(call)
        return call

    def gone(self, call: Call) -> None:
        """A call has ended."""
        self.calls.remove(call)

    # Commands: the methods that begin with "do_".

    def do_register(self) -> None:
        self.account.setRegistration(True)

    def do_unregister(self) -> None:
        self.account.setRegistration(False)

    def do_call(self, uri: str) -> None:
        self.new_call().makeCall(uri, pj.CallOpParam(True))

    def do_answer(self, status: int, reason: str = "") -> None:
        answer = pj.CallOpParam()
        answer.statusCode = status
        answer.reason = reason
        self.calls[-1].answer(answer)

    def do_hangup(self, status: int = 0) -> None:
        operation = pj.CallOpParam()
        operation.statusCode = status
        self.calls[-1].hangup(operation)

    def do_hold(self) -> None:
        self.calls[-1].setHold(pj.CallOpParam(True))

    def do_resume(self) -> None:
        operation = pj.CallOpParam(True)
        operation.opt.flag |= pj.PJSUA_CALL_UNHOLD
        self.calls[-1].reinvite(operation)

    def do_update(self) -> None:
        self.calls[-1].update(pj.CallOpParam(True))

    def do_transfer(self, uri: str) -> None:
        self.calls[-1].xfer(uri, pj.CallOpParam())

    def do_info(self, type: str, body: str) -> None:
        request = pj.CallSendRequestParam()
        request.method = "INFO"
        request.txOption.contentType = type
        request.txOption.msgBody = body
        self.calls[-1].sendRequest(request)

    def do_say(self, body: str) -> None:
        message = pj.SendInstantMessageParam()
        message.content = body
        self.calls[-1].sendInstantMessage(message)

    def do_message(self, uri: str, body: str) -> None:
        buddy = pj.BuddyConfig()
        buddy.uri = uri
        self.buddy = pj.Buddy()
        self.buddy.create(self.account, buddy)
        message = pj.SendInstantMessageParam()
        message.content = body
        self.buddy.sendInstantMessage(message)

    def do_watch(self, uri: str) -> None:
        config = pj.BuddyConfig()
        config.uri = uri
        config.subscribe = True
        buddy = Buddy()
        self.buddies.append(buddy)
        buddy.create(self.account, config)

    def do_present(self, present: bool) -> None:
        status = pj.PresenceStatus()
        status.status = pj.PJSUA_BUDDY_STATUS_ONLINE if present else pj.PJSUA_BUDDY_STATUS_OFFLINE
        self.account.setOnlineStatus(status)

    def do_packets(self) -> None:
        stream = self.calls[-1].getStreamStat(0)
        tell("packets", received=stream.rtcp.rxStat.pkt, sent=stream.rtcp.txStat.pkt)

    def do_quit(self) -> None:
        raise EOFError

    def serve(self) -> None:
        """Do as is told until the input ends."""
        pending = b""
        while True:
            self.endpoint.libHandleEvents(10)
            if not select.select([0], [], [], 0)[0]:
                continue
            read = os.read(0, 65536)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                command = json.loads(line)
                name = command.pop("do")
                try:
                    getattr(self, f"do_{name}")(**command)
                except EOFError:
                    return
                except pj.Error as error:
                    tell("refused", command=name, why=error.info())
                except IndexError:
                    tell("refused", command=name, why="there is no call")

    def close(self) -> None:
        """Unregister, hang up, end."""
        self.tone.stop()
        del self.tone
        self.account.shutdown()
        self.endpoint.libDestroy()
        tell("closed")
        os._exit(0)  # PJSIP's objects must not be collected after their library


if __name__ == "__main__":
    phone = Phone(json.loads(sys.argv[1]))
    phone.serve()
    phone.close()
