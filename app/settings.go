package app

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tasktrail/tasktrail/internal/netguard"
)

// Settings are what operators set, as flags, TASKTRAIL_* variables, or keys of
// one YAML file, in that order of precedence and by the same names: http_addr is
// --http-addr and TASKTRAIL_HTTP_ADDR. The struct is the whole list.
type Settings struct {
	HTTPAddr     string `yaml:"http_addr" usage:"address of the API and the live UI"`
	OTLPGRPCAddr string `yaml:"otlp_grpc_addr" usage:"address of the OTLP/gRPC receiver"`
	OTLPHTTPAddr string `yaml:"otlp_http_addr" usage:"address of the OTLP/HTTP receiver and of the agents' connection"`

	ClickHouseDSN     string `yaml:"clickhouse_dsn" usage:"ClickHouse server; empty for the embedded engine"`
	ClickHouseRead    string `yaml:"clickhouse_reader_dsn" usage:"the same server by a user that may only read, for what the API reads; empty for the one above"`
	ClickHouseCluster string `yaml:"clickhouse_cluster" usage:"cluster that tables are spread over, as the servers' remote_servers name it; empty for one server"`
	ClickHouseAddr    string `yaml:"clickhouse_addr" usage:"address of the embedded engine's HTTP interface"`
	ClickHouseMem     int64  `yaml:"clickhouse_max_memory" usage:"bytes the embedded engine may use"`
	RedisURL          string `yaml:"redis_url" usage:"Redis server; empty for the embedded broker"`
	RedisAddr         string `yaml:"redis_addr" usage:"address of the embedded broker"`
	CommandKey        string `yaml:"command_key" usage:"key that commands in Redis are authenticated with, and the secrets of re-enqueue URLs are derived from; all collectors and query share it, empty for one kept in the data directory"`

	DataDir    string `yaml:"data_dir" usage:"where logs, keys and the embedded engine's data live"`
	AdminToken string `yaml:"admin_token" usage:"token with every scope; empty to generate one on the first start of up"`

	// CollectorURL is where query, apart from the collector, sends operators' events.
	CollectorURL string `yaml:"collector_url" usage:"OTLP/HTTP address of a collector, for the sidecar, and for query run apart from it"`
	Token        string `yaml:"token" usage:"token that query, demo and the sidecar show to the collector, and the sidecar asks for; query needs one with the scope operate or admin"`

	LogMaxBytes int64         `yaml:"log_max_bytes" usage:"bytes of accepted events the collector keeps on disk before it pushes back"`
	Retention   time.Duration `yaml:"retention" usage:"how long ClickHouse keeps events"`

	LostAfter       time.Duration `yaml:"lost_after" usage:"how long a running task and its agent may be silent before the task is declared lost"`
	LostLetterAfter time.Duration `yaml:"lost_letter_after" usage:"how long a task stays lost before it becomes a dead letter"`

	HTTPTLSCert   string `yaml:"http_tls_cert" usage:"certificate file of the API and the live UI"`
	HTTPTLSKey    string `yaml:"http_tls_key" usage:"key file of the API and the live UI"`
	SecureCookies bool   `yaml:"secure_cookies" usage:"mark session cookies Secure, where a proxy in front speaks TLS"`
	SessionKey    string `yaml:"session_key" usage:"key that sessions and cursors are sealed with, 32 characters or more; all query processes share it, empty for one kept in the data directory"`
	APIRate       int64  `yaml:"api_rate" usage:"requests a second that one token may make; twice as many at once"`

	TLSCert     string `yaml:"tls_cert" usage:"certificate file of the receivers"`
	TLSKey      string `yaml:"tls_key" usage:"key file of the receivers"`
	TLSClientCA string `yaml:"tls_client_ca" usage:"CA file that clients of the receivers must be signed by"`
	ForwardOTLP string `yaml:"forward_otlp" usage:"OTLP/HTTP backend that traces and metrics are forwarded to"`

	AlertRules string `yaml:"alert_rules" usage:"YAML file with alert rules, channels and the watchdog; read again when it changes, and on SIGHUP"`
	PublicURL  string `yaml:"public_url" usage:"where people reach the live UI, for the links of alerts"`

	WebhookURL          string `yaml:"webhook_url" usage:"URL that alerts are posted to, signed after Standard Webhooks"`
	WebhookSecret       string `yaml:"webhook_secret" usage:"whsec_ secret of the webhook's signature"`
	WebhookAllowPrivate bool   `yaml:"webhook_allow_private" usage:"let the webhook, and channels set over the API, go to loopback and private addresses"`

	RequeueAllow string `yaml:"requeue_allow" usage:"ranges of private addresses that re-enqueue URLs may lead to, such as 10.1.0.0/16, separated by commas"`

	JWTSecret   string `yaml:"jwt_secret" usage:"shared secret of JWTs (HS256)"`
	JWKSURL     string `yaml:"jwks_url" usage:"URL of the JSON Web Key Set of JWTs"`
	JWTIssuer   string `yaml:"jwt_issuer" usage:"issuer JWTs must name"`
	JWTAudience string `yaml:"jwt_audience" usage:"audience JWTs must name"`

	AgentAddr        string        `yaml:"agent_addr" usage:"address of the sidecar's API (tasktrail agent)"`
	AgentURL         string        `yaml:"agent_url" usage:"how callbacks reach the sidecar to report progress; empty for its address"`
	AgentName        string        `yaml:"agent_name" usage:"name of the sidecar in its tasks' timelines"`
	AgentNamespace   string        `yaml:"agent_namespace" usage:"namespace of the sidecar's tasks"`
	AgentWorkers     int64         `yaml:"agent_workers" usage:"tasks the sidecar runs at a time; 0 for 32 a processor, 64 at least"`
	AgentMaxTasks    int64         `yaml:"agent_max_tasks" usage:"tasks that may wait or run in the sidecar"`
	AgentMaxAttempts int64         `yaml:"agent_max_attempts" usage:"attempts of a task that does not say how many"`
	AgentRetryBase   time.Duration `yaml:"agent_retry_base" usage:"wait before the sidecar's first retry; it doubles from there"`
	AgentQueueBytes  int64         `yaml:"agent_queue_max_bytes" usage:"bytes the sidecar's queue may take on the disk"`
	CallbackAllow    string        `yaml:"callback_allow" usage:"ranges of private addresses that may be called back, such as 10.1.0.0/16, separated by commas"`
	CallbackTimeout  time.Duration `yaml:"callback_timeout" usage:"how long one attempt of a callback may take"`
	ExecQueue        string        `yaml:"exec_queue" lines:"true" usage:"QUEUE=COMMAND whose retries the sidecar runs; repeat it, or one a line"`
	ExecTimeout      time.Duration `yaml:"exec_timeout" usage:"how long one attempt of such a command may take; 0 for no end"`

	LogLevel  string `yaml:"log_level" usage:"debug, info, warn or error"`
	LogFormat string `yaml:"log_format" usage:"text or json"`
}

// DefaultSettings listen on the loopback alone and keep everything below ./data.
func DefaultSettings() Settings {
	return Settings{
		HTTPAddr: "127.0.0.1:8080", OTLPGRPCAddr: "127.0.0.1:4317", OTLPHTTPAddr: "127.0.0.1:4318",
		ClickHouseAddr: "127.0.0.1:8123", ClickHouseMem: 4 << 30, RedisAddr: "127.0.0.1:6380",
		DataDir: "./data", CollectorURL: "http://127.0.0.1:4318",
		LogMaxBytes: 10 << 30, Retention: 90 * 24 * time.Hour, LostAfter: time.Minute, LostLetterAfter: 15 * time.Minute,
		AgentAddr: "127.0.0.1:7070", AgentName: "tasktrail agent", AgentNamespace: "default", AgentMaxTasks: 100_000,
		AgentMaxAttempts: 5, AgentRetryBase: time.Second, AgentQueueBytes: 1 << 30, CallbackTimeout: 30 * time.Second,
		APIRate:  200,
		LogLevel: "info", LogFormat: "text",
	}
}

// Field is one setting, for the command line that makes flags of them.
type Field struct {
	Key   string // http_addr
	Usage string
	// Lines: the value is a list, one a line, and the flag may be repeated.
	Lines bool
	value reflect.Value
}

// Flag is the setting's name on the command line.
func (f Field) Flag() string { return strings.ReplaceAll(f.Key, "_", "-") }

// Env is the setting's environment variable.
func (f Field) Env() string { return "TASKTRAIL_" + strings.ToUpper(f.Key) }

// String is the present value as text.
func (f Field) String() string { return fmt.Sprint(f.value.Interface()) }

// IsBool reports whether the flag may stand without a value.
func (f Field) IsBool() bool { return f.value.Kind() == reflect.Bool }

// Set reads the value from text; the error names what is allowed.
func (f Field) Set(text string) error {
	switch v := f.value.Addr().Interface().(type) {
	case *string:
		*v = text
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s: %q is not true or false", f.Key, text)
		}
		*v = b
	case *int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%s: %q is not a whole number from 0 on", f.Key, text)
		}
		*v = n
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("%s: %q is not a duration such as 90s or 24h", f.Key, text)
		}
		*v = d
	default:
		return fmt.Errorf("%s: settings of type %T cannot be read from text", f.Key, v)
	}
	return nil
}

// Fields lists the settings of s; setting one sets it in s.
func Fields(s *Settings) []Field {
	v := reflect.ValueOf(s).Elem()
	fields := make([]Field, 0, v.NumField())
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		fields = append(fields, Field{Key: tag.Get("yaml"), Usage: tag.Get("usage"), Lines: tag.Get("lines") == "true", value: v.Field(i)})
	}
	return fields
}

// Load reads the settings: defaults, then the YAML file at path where it is not
// empty, then the environment. Flags are set by the caller afterwards, through
// Fields. An unknown key of the file or an unknown TASKTRAIL_ variable is an
// error that names it.
func Load(path string, environ []string) (Settings, error) {
	s := DefaultSettings()
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return s, fmt.Errorf("read the settings file: %w", err)
		}
		dec := yaml.NewDecoder(bytes.NewReader(b))
		dec.KnownFields(true)
		if err := dec.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
			return s, fmt.Errorf("settings file %s: %s", path, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n ", ""))
		}
	}
	fields := Fields(&s)
	var errs []error
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Env() == name })
		switch {
		case i >= 0:
			if err := fields[i].Set(value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		case strings.HasPrefix(name, "TASKTRAIL_") && !slices.Contains(otherVariables, name):
			errs = append(errs, fmt.Errorf("%s is not a setting: see tasktrail up --help", name))
		}
	}
	return s, errors.Join(errs...)
}

// otherVariables are read by parts that are not set through Settings.
var otherVariables = []string{
	"TASKTRAIL_CONFIG", "TASKTRAIL_CHDB_LIB",
	// What a command under tasktrail run finds in its environment.
	"TASKTRAIL_TASK_ID", "TASKTRAIL_RUN", "TASKTRAIL_ATTEMPT", "TASKTRAIL_IDEMPOTENCY_KEY", "TASKTRAIL_PROGRESS_FD",
}

// Validate reports every setting that cannot work, all at once.
func (s *Settings) Validate() error {
	var errs []error
	for _, a := range []struct{ key, addr string }{
		{"http_addr", s.HTTPAddr}, {"otlp_grpc_addr", s.OTLPGRPCAddr}, {"otlp_http_addr", s.OTLPHTTPAddr},
		{"clickhouse_addr", s.ClickHouseAddr}, {"redis_addr", s.RedisAddr},
	} {
		if _, port, err := net.SplitHostPort(a.addr); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not an address such as 127.0.0.1:8080", a.key, a.addr))
		} else if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			errs = append(errs, fmt.Errorf("%s: port %q is not between 0 and 65535", a.key, port))
		}
	}
	for _, u := range []struct{ key, url string }{
		{"collector_url", s.CollectorURL}, {"forward_otlp", s.ForwardOTLP}, {"webhook_url", s.WebhookURL}, {"jwks_url", s.JWKSURL},
	} {
		if p, err := url.Parse(u.url); u.url != "" && (err != nil || p.Host == "" || (p.Scheme != "http" && p.Scheme != "https")) {
			errs = append(errs, fmt.Errorf("%s: %q is not an http or https URL", u.key, u.url))
		}
	}
	if _, err := netguard.Parse(s.RequeueAllow); err != nil {
		errs = append(errs, fmt.Errorf("requeue_allow: %w", err))
	}
	if s.DataDir == "" {
		errs = append(errs, errors.New("data_dir: must not be empty"))
	}
	if s.AdminToken != "" && len(s.AdminToken) < 16 {
		errs = append(errs, errors.New("admin_token: must have at least 16 characters"))
	}
	if s.JWTSecret != "" && len(s.JWTSecret) < 32 {
		errs = append(errs, errors.New("jwt_secret: must have at least 32 characters"))
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		errs = append(errs, errors.New("tls_cert, tls_key: set both or neither"))
	}
	if (s.HTTPTLSCert == "") != (s.HTTPTLSKey == "") {
		errs = append(errs, errors.New("http_tls_cert, http_tls_key: set both or neither"))
	}
	if s.SessionKey != "" && len(s.SessionKey) < 32 {
		errs = append(errs, errors.New("session_key: must have at least 32 characters"))
	}
	if s.APIRate < 1 || s.APIRate > 1_000_000 {
		errs = append(errs, errors.New("api_rate: must be 1 to 1000000"))
	}
	if s.LogMaxBytes < 64<<20 {
		errs = append(errs, errors.New("log_max_bytes: must be at least 67108864 (64 MiB)"))
	}
	if s.ClickHouseCluster != "" && s.ClickHouseDSN == "" {
		errs = append(errs, errors.New("clickhouse_cluster: name one of its servers in clickhouse_dsn"))
	}
	if s.Retention < 24*time.Hour {
		errs = append(errs, errors.New("retention: must be at least 24h"))
	}
	if s.LostAfter < time.Second {
		errs = append(errs, errors.New("lost_after: must be at least 1s"))
	}
	if s.LostLetterAfter < time.Second {
		errs = append(errs, errors.New("lost_letter_after: must be at least 1s"))
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s.LogLevel) {
		errs = append(errs, fmt.Errorf("log_level: %q is not debug, info, warn or error", s.LogLevel))
	}
	if s.LogFormat != "text" && s.LogFormat != "json" {
		errs = append(errs, fmt.Errorf("log_format: %q is not text or json", s.LogFormat))
	}
	return errors.Join(errs...)
}

// httpTLS is how the API speaks TLS; nil where it does not.
func (s *Settings) httpTLS() (*tls.Config, error) {
	if s.HTTPTLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(s.HTTPTLSCert, s.HTTPTLSKey)
	if err != nil {
		return nil, fmt.Errorf("http_tls_cert, http_tls_key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}
