package collector

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

const (
	encodingGzip = "gzip"
	encodingZstd = "zstd"

	// maxZstdWindow bounds the memory one zstd stream may ask for.
	maxZstdWindow = 8 << 20
)

// gRPC looks compressions up by name in a table of the process that may only be
// written while programs start, which is what init is for; gRPC's own gzip does
// the same.
func init() { encoding.RegisterCompressor(zstdCompressor{}) }

// zstdCompressor is zstd for gRPC.
type zstdCompressor struct{}

func (zstdCompressor) Name() string { return encodingZstd }

func (zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
}

func (zstdCompressor) Decompress(r io.Reader) (io.Reader, error) { return newZstdReader(r) }

// zstdReaders are decoders used again: making one costs more than most requests.
var zstdReaders = sync.Pool{}

// zstdReader gives its decoder back at the end of the stream or at Close.
type zstdReader struct{ d *zstd.Decoder }

func newZstdReader(r io.Reader) (*zstdReader, error) {
	if d, ok := zstdReaders.Get().(*zstd.Decoder); ok {
		if err := d.Reset(r); err != nil {
			return nil, err
		}
		return &zstdReader{d}, nil
	}
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &zstdReader{d}, nil
}

func (z *zstdReader) Read(p []byte) (int, error) {
	if z.d == nil {
		return 0, io.EOF
	}
	return z.d.Read(p)
}

func (z *zstdReader) Close() error {
	if z.d != nil {
		d := z.d
		z.d = nil
		if d.Reset(nil) == nil {
			zstdReaders.Put(d)
		}
	}
	return nil
}

// decompressor wraps a body by its Content-Encoding.
func decompressor(name string, body io.Reader) (io.ReadCloser, error) {
	switch name {
	case "", "identity":
		return io.NopCloser(body), nil
	case encodingGzip:
		r, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
		return r, nil
	case encodingZstd:
		return newZstdReader(body)
	default:
		return nil, errUnknownEncoding
	}
}
