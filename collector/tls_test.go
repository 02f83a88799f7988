package collector

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tasktrail/tasktrail/timeline"
)

// certificate makes a self-signed certificate that serves, asks and signs.
func certificate(t *testing.T, dir string) (certFile, keyFile string, cert tls.Certificate, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if cert, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, cert, pool
}

func TestMutualTLS(t *testing.T) {
	cfg := testConfig(t.TempDir())
	certFile, keyFile, cert, pool := certificate(t, t.TempDir())
	cfg.TLSCertFile, cfg.TLSKeyFile, cfg.TLSClientCAFile = certFile, keyFile, certFile
	c := start(t, cfg, Deps{})
	body := request(event("t", 1, 1, 1, timeline.AttemptStarted))
	for name, tt := range map[string]struct {
		certs []tls.Certificate
		ok    bool
	}{"with a certificate": {[]tls.Certificate{cert}, true}, "without": {nil, false}} {
		client := &tls.Config{RootCAs: pool, Certificates: tt.certs}
		httpClient := &http.Client{Transport: &http.Transport{TLSClientConfig: client.Clone(), ForceAttemptHTTP2: true, DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+c.HTTPAddr().String()+pathLogs, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", typeProtobuf)
		req.Header.Set("Authorization", "Bearer ingest-a")
		resp, err := httpClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if got := err == nil && resp.StatusCode == http.StatusOK; got != tt.ok {
			t.Errorf("HTTP %s: %v", name, err)
		}
		conn, err := grpc.NewClient(c.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(client.Clone())))
		if err != nil {
			t.Fatal(err)
		}
		_, err = collogspb.NewLogsServiceClient(conn).Export(bearer(t, "ingest-a"), unmarshalLogs(t, body))
		if (err == nil) != tt.ok {
			t.Errorf("gRPC %s: %v", name, err)
		}
		conn.Close()
	}
}
