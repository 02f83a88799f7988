package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/dashboards/web"
	"github.com/tasktrail/tasktrail/query"
)

// liveOnly is how old an event may be to be of use to the live view.
const liveOnly = 10 * time.Second

// clickHouseLinger is how long a batch waits for more: few parts against a quick
// view.
const clickHouseLinger = 150 * time.Millisecond

// collectorGC is how much garbage, in percent of what is in use, a collector apart
// lets come together.
const collectorGC = 50

func (a *App) startAlerting(ctx context.Context) error {
	cfg := alerting.Config{
		Dir: filepath.Join(a.set.DataDir, "alerting"), RulesFile: a.set.AlertRules, BaseURL: a.set.PublicURL, AllowPrivate: a.set.WebhookAllowPrivate, Logger: a.log,
	}
	if a.set.WebhookURL != "" {
		cfg.Channels = append(cfg.Channels, channel.Config{
			Name: "webhook", Type: channel.Webhook, URL: a.set.WebhookURL,
			Secrets: []string{a.set.WebhookSecret}, AllowPrivate: a.set.WebhookAllowPrivate,
		})
	}
	var err error
	a.past = &past{store: a.store}
	a.alerting, err = alerting.New(cfg, alerting.Deps{
		Publisher: a.live, Past: a.past, Settled: a.store, Fleet: a.live, Settings: a.store, OpenSecrets: a.openChannelSecrets,
	})
	if err != nil {
		return err
	}
	a.undo.push("alerting", func(context.Context) error { return a.alerting.Close() })
	if err := a.metrics.Register(a.alerting); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := a.alerting.Start(ctx); err != nil {
		return err
	}
	a.startAlertShare(ctx)
	return nil
}

func (a *App) startCollector(ctx context.Context) error {
	if _, set := os.LookupEnv("GOGC"); a.role == RoleCollector && !set {
		// Large buffers and few pointers: collecting garbage costs little, and half of
		// the garbage is less memory.
		debug.SetGCPercent(collectorGC)
	}
	var err error
	a.collector, err = collector.New(collector.Config{
		GRPCAddr: a.set.OTLPGRPCAddr, HTTPAddr: a.set.OTLPHTTPAddr, Dir: filepath.Join(a.set.DataDir, "collector"),
		LogMaxBytes: a.set.LogMaxBytes, TLSCertFile: a.set.TLSCert, TLSKeyFile: a.set.TLSKey, TLSClientCAFile: a.set.TLSClientCA,
		ForwardOTLP: a.set.ForwardOTLP, AllowAnonymous: a.role == RoleUp && isLoopback(a.set.OTLPHTTPAddr) && isLoopback(a.set.OTLPGRPCAddr),
		LostAfter: a.set.LostAfter, LostLetterAfter: a.set.LostLetterAfter, Logger: a.log,
	}, collector.Deps{
		Auth: collectorAuth{a.auth},
		Sinks: []collector.SinkSpec{
			{Sink: a.store, MaxBatchBytes: 16 << 20, MaxBatchFrames: 4096, Linger: clickHouseLinger, Tombstones: true},
			{Sink: a.live.Publisher(), LossyAfter: liveOnly},
			{Sink: a.live.CommandSink()},
			{Sink: a.alerting},
		},
		Commands: a.live, Live: liveSink{a.live}, Tasks: a.store, Sources: a.live, Registerer: a.metrics, Gatherer: a.metrics,
	})
	if err != nil {
		return err
	}
	a.past.collector.Store(a.collector)
	a.undo.push("collector", a.collector.Stop)
	if err := a.collector.Start(ctx); err != nil {
		return err
	}
	a.addrs.OTLPHTTP, a.addrs.OTLPGRPC = a.collector.HTTPAddr().String(), a.collector.GRPCAddr().String()
	return nil
}

func (a *App) startQuery(ctx context.Context) error {
	key := a.set.SessionKey
	if key == "" {
		var err error
		if key, _, err = secretFile(a.set.DataDir, "session-key", ""); err != nil {
			return err
		}
	}
	ready := map[string]query.ReadyFunc{
		"clickhouse": a.store.Ping,
		"redis":      func(ctx context.Context) error { return a.live.Ping(ctx) },
	}
	if a.collector != nil {
		ready["collector"] = func(context.Context) error { return a.collector.Ready() }
	}
	certs, err := a.set.httpTLS()
	if err != nil {
		return err
	}
	requeueSecret := a.requeueSecret
	if a.role == RoleQuery && a.set.CommandKey == "" {
		requeueSecret = nil // the collectors sign with a key that is not known here
	}
	deps := query.Deps{
		Reader: reader{a.store, a.live, a.collector}, Auth: a.auth, Writer: a.events, Claimer: a.claimer(), Subscriber: a.live.Follower(),
		Settings: a.store, Audit: a.store, Providers: a.store, Keys: a.keys, Leases: a.live, Idempotency: idempotency{a.live},
		Servers: queueServers{a.live}, RequeueSecret: requeueSecret, RequeueStates: requeueStates{a},
		Ready: ready, Gatherer: prometheus.Gatherer(a.metrics), Logger: a.log,
	}
	deps.Alerts, deps.Channels = sharedAlerts{live: a.live, own: a.alerting}, askedAlerting{live: a.live, own: a.alerting}
	if a.embeddedRedis {
		deps.Alerts, deps.Channels = alertBook{a.alerting}, alertBook{a.alerting}
	}
	if a.role != RoleQuery || a.set.CommandKey != "" {
		deps.AlertSettings = alertSettings{a} // else the collectors open with a key that is not known here
	}
	a.query, err = query.New(query.Config{
		Addr: a.set.HTTPAddr, TLS: certs, SecureCookies: a.set.SecureCookies, SessionKey: []byte(key), UI: web.FS(),
		RatePerSecond: float64(a.set.APIRate), RateBurst: int(2 * a.set.APIRate),
		Version: a.version, Commit: commit(),
	}, deps)
	if err != nil {
		return err
	}
	a.undo.push("query", a.query.Stop)
	if err := a.query.Start(ctx); err != nil {
		return err
	}
	a.addrs.HTTP, a.addrs.HTTPS = a.query.Addr(), certs != nil
	if !isLoopback(a.addrs.HTTP) && certs == nil && !a.set.SecureCookies {
		a.log.Warn("the API listens on a public address without TLS: set http_tls_cert and http_tls_key, or put a proxy that speaks it in front and set secure_cookies", "addr", a.addrs.HTTP)
	}
	return nil
}
