;;; webstorage.el --- Web Storage, shared live with all programs  -*- lexical-binding: t; -*-

;; Version: 0.1.0
;; Package-Requires: ((emacs "27.1") (jsonrpc "1.0.12"))
;; Keywords: comm, data
;; SPDX-License-Identifier: MIT OR Apache-2.0

;;; Commentary:

;; A client of `webstorage-server'.  Areas are shared live by all Emacsen
;; and all other programs on this machine, with an event for each change.
;;
;; The functions take a CALLBACK, as their last or a keyword argument, and
;; then return at once; it is called with an error (or nil) and the result.
;; Without a callback they wait, for a finite time, and signal
;; `webstorage-error', whose data are (NAME MESSAGE CODE DATA).
;;
;;   (setq connection (webstorage-connect))
;;   (setq area (webstorage-open connection :persistent t
;;                               :origin "https://example.com"))
;;   (webstorage-set-item area "theme" "dark")
;;   (webstorage-get-item area "theme")
;;   (webstorage-subscribe area (lambda (event) (message "%S" event)))

;;; Code:

(require 'cl-lib)
(require 'eieio)
(require 'jsonrpc)

(defgroup webstorage nil
  "Web Storage, shared live with all programs."
  :group 'comm)

(defcustom webstorage-command '("webstorage-server")
  "The server and its flags."
  :type '(repeat string))

(defcustom webstorage-timeout 10
  "For how many seconds a function without callback waits."
  :type 'number)

(define-error 'webstorage-error "Web Storage")

(defclass webstorage-connection (jsonrpc-process-connection)
  ((listeners :initform (make-hash-table) :accessor webstorage--listeners
              :documentation "Subscription -> (LISTENER . ON-OVERFLOW).")
   (due :initform nil :accessor webstorage--due
        :documentation "What is to be called next, the oldest first.")
   (arrived :initform nil :accessor webstorage--arrived
            :documentation "What is to be called after that, the newest first.")
   (calling :initform nil :accessor webstorage--calling)
   (process :initform nil :accessor webstorage-connection-process)
   (origin :initform nil :accessor webstorage--origin
           :documentation "That of areas which are opened without one.")
   (on-exit :initform nil :accessor webstorage--on-exit)
   (stopping :initform nil :accessor webstorage--stopping)
   (ended :initform nil :accessor webstorage--ended
          :documentation "Why no call can be answered any more."))
  :documentation "A connection to a `webstorage-server' of its own.")

(cl-defstruct (webstorage-area (:constructor webstorage--make-area))
  "An area: one `Storage' object.  STORAGE is its handle."
  connection storage persistent origin quota)

(cl-defstruct (webstorage-subscription (:constructor webstorage--make-subscription))
  "A subscription.  SEQUENCE is the number of the newest change before it.
GAP says that changes after the wished one are not known any more."
  connection id sequence gap)

(defvar webstorage--connections nil
  "The connections whose servers run.")

(defvar webstorage--count 0
  "The number of connections that were made.")

;;;; Reading

(defconst webstorage--reads-nul
  (condition-case nil
      (stringp (json-parse-string "\"\\u0000\""))
    (error nil))
  "Whether the JSON reader of this Emacs accepts NUL in strings.")

(defun webstorage--replace-nul (pending text)
  "Replace the escapes of NUL in PENDING and TEXT by those of U+FFFD.
Both escapes have six bytes, so lengths stay right.  The result is the
text that is complete and the beginning of an escape that is not."
  (let* ((text (concat pending text))
         (rest (string-match "\\\\+\\(?:u0\\{0,3\\}\\)?\\'" text))
         (complete (if rest (substring text 0 rest) text)))
    (cons (if (string-match-p "\\\\u0000" complete)
              (replace-regexp-in-string
               ;; Only after an even number of backslashes is this an escape.
               "\\\\\\\\\\|\\\\u0000"
               (lambda (found) (if (equal found "\\u0000") "\\ufffd" found))
               complete t t)
            complete)
          (if rest (substring text rest) ""))))

(defun webstorage--call-later (connection function &rest arguments)
  "Call FUNCTION with ARGUMENTS soon, in order, outside of the process filter.
There a function may wait for a reply on CONNECTION, inside it may not."
  (unless (or (webstorage--due connection) (webstorage--arrived connection)
              (webstorage--calling connection))
    (run-at-time 0 nil #'webstorage--call-all connection))
  (push (cons function arguments) (webstorage--arrived connection)))

(defun webstorage--call-all (connection)
  "Call what is due on CONNECTION, each call after the end of the one before."
  (setf (webstorage--calling connection) t)
  (unwind-protect
      (while (or (webstorage--due connection)
                 (setf (webstorage--due connection)
                       (nreverse (cl-shiftf (webstorage--arrived connection) nil))))
        (apply (pop (webstorage--due connection))))
    (setf (webstorage--calling connection) nil)
    ;; An error in one of them does not keep the others from being called.
    (when (or (webstorage--due connection) (webstorage--arrived connection))
      (run-at-time 0 nil #'webstorage--call-all connection))))

(defun webstorage--receive (connection method params)
  "Handle the notification METHOD with PARAMS on CONNECTION."
  (let ((listener (gethash (plist-get params :subscription)
                           (webstorage--listeners connection))))
    (when listener
      (pcase method
        ('storage/event
         (webstorage--call-later connection (car listener) params))
        ('storage/overflow
         (webstorage--call-later connection (cdr listener) params))))))

;;;; Calling

(defun webstorage--error (name message &optional code data)
  "Make the data of a `webstorage-error' of NAME, MESSAGE, CODE and DATA."
  (list name message code data))

(defun webstorage--call (connection method params received callback)
  "Call METHOD with PARAMS on CONNECTION.
RECEIVED makes the result of the reply, before any later message is
looked at; CALLBACK is called with an error or nil, and that result.  It
runs inside the process filter and must not wait."
  (if (webstorage--ended connection)
      (funcall callback
               (webstorage--error "InvalidStateError" (webstorage--ended connection)) nil)
    (condition-case failure
        (jsonrpc-async-request
         connection method params
         :timeout nil
         :success-fn (lambda (result) (funcall callback nil (funcall received result)))
         :error-fn
         (jsonrpc-lambda (&key code message data)
           (funcall callback
                    (if (process-live-p (webstorage-connection-process connection))
                        (webstorage--error (or (plist-get data :name) "Error")
                                           message code data)
                      (webstorage--error "InvalidStateError"
                                         (webstorage--how-ended connection)))
                    nil)))
      ;; Strings that are not Unicode text cannot be encoded.
      ((wrong-type-argument json-error)
       (funcall callback
                (webstorage--error "DataError"
                                   (format "%s: not Unicode text: %S" method (cdr failure)))
                nil))
      ;; The process has ended, which its sentinel has yet to say.
      (error
       (funcall callback
                (webstorage--error "InvalidStateError" (webstorage--how-ended connection))
                nil)))))

(defun webstorage--wait (connection timeout what start)
  "Call START with a callback and wait for it, for TIMEOUT seconds.
WHAT names it in errors; the reply comes on CONNECTION."
  (let ((limit (+ (float-time) timeout))
        (reply nil)
        ;; A listener that waits runs in a timer, where C-g is inhibited.
        (inhibit-quit nil)
        ;; A large value comes in few pieces.
        (read-process-output-max (max read-process-output-max 1048576)))
    (funcall start (lambda (failure result) (setq reply (list failure result))))
    (while (and (not reply) (< (float-time) limit))
      ;; To wait for no particular process takes Emacs 10 ms longer, but only
      ;; so it calls the sentinel of one that has ended.
      (accept-process-output (let ((process (webstorage-connection-process connection)))
                               (and (process-live-p process) process))
                             (min 0.5 (max 0.001 (- limit (float-time))))))
    (cond ((not reply)
           (signal 'webstorage-error
                   (webstorage--error
                    "TimeoutError"
                    (format "%s had no reply within %s s; it may still take effect" what timeout))))
          ((car reply) (signal 'webstorage-error (car reply)))
          (t (cadr reply)))))

(defun webstorage--request (connection method params callback &optional received)
  "Call METHOD with PARAMS on CONNECTION, and wait if CALLBACK is nil.
RECEIVED makes the result of the reply."
  (let ((received (or received #'identity)))
    (if callback
        (webstorage--call connection method params received
                          (lambda (failure result)
                            (webstorage--call-later connection callback failure result)))
      (webstorage--wait connection webstorage-timeout method
                        (lambda (done)
                          (webstorage--call connection method params received done))))))

(defun webstorage--given (&rest params)
  "PARAMS without those that are nil."
  (cl-loop for (name value) on params by #'cddr
           when value nconc (list name value)))

;;;; Connections

(defun webstorage--how-ended (connection)
  "Say how the server of CONNECTION ended, with what it said last."
  (let ((process (webstorage-connection-process connection))
        (limit (+ (float-time) 1)))
    ;; Its last words may come after the end of its output.
    (while (and (not (webstorage--ended connection))
                (or (process-live-p process)
                    (process-live-p (get-buffer-process (jsonrpc-stderr-buffer connection))))
                (< (float-time) limit))
      (accept-process-output nil 0.05))
    (cond ((webstorage--ended connection))
          ((webstorage--stopping connection) "the connection was stopped")
          (t
           (string-trim
            (format "the server ended %s %s. %s"
                    (if (eq (process-status process) 'signal) "by signal" "with code")
                    (process-exit-status process)
                    (with-current-buffer (jsonrpc-stderr-buffer connection)
                      (string-trim (buffer-substring-no-properties
                                    (max (point-min) (- (point-max) 2000))
                                    (point-max))))))))))

(defun webstorage--start (command)
  "Start COMMAND and return a connection."
  (unless (executable-find (car command))
    (signal 'webstorage-error
            (webstorage--error
             "NotFoundError"
             (format "the server %S was not found or is not executable: put webstorage-server on `exec-path', or set `webstorage-command'"
                     (car command)))))
  (let* ((name (format "webstorage-%d" (cl-incf webstorage--count)))
         ;; Otherwise Emacs waits for more after each small reply.
         (process-adaptive-read-buffering nil)
         (process nil)
         (connection
          (make-instance
           'webstorage-connection
           :name name
           :events-buffer-scrollback-size 0
           :notification-dispatcher #'webstorage--receive
           :on-shutdown #'webstorage--ended-now
           :process (lambda ()
                      (setq process
                            (make-process :name name
                                          :command command
                                          :coding 'utf-8-emacs-unix
                                          :connection-type 'pipe
                                          :noquery t
                                          ;; jsonrpc.el wants this very name.
                                          :stderr (get-buffer-create
                                                   (format "*%s stderr*" name)))))))
         (reader (get-buffer-process (jsonrpc-stderr-buffer connection))))
    (setf (webstorage-connection-process connection) process)
    ;; jsonrpc.el tells the user of every end, also of one that was asked for.
    (add-function :around (process-sentinel process)
                  (lambda (sentinel process change)
                    (let* ((stopping (webstorage--stopping connection))
                           (inhibit-message (or stopping inhibit-message))
                           (message-log-max (and (not stopping) message-log-max)))
                      (funcall sentinel process change))))
    (set-process-query-on-exit-flag reader nil)
    (set-process-sentinel reader #'ignore)
    (unless webstorage--reads-nul
      (let ((filter (process-filter process))
            (pending ""))
        (set-process-filter
         process
         (lambda (process text)
           (let ((parts (webstorage--replace-nul pending text)))
             (setq pending (cdr parts))
             (funcall filter process (car parts)))))))
    (push connection webstorage--connections)
    connection))

(defun webstorage--ended-now (connection)
  "Note that the server of CONNECTION has ended."
  (let ((how (webstorage--how-ended connection))
        (on-exit (webstorage--on-exit connection)))
    (setf (webstorage--ended connection) how)
    (setq webstorage--connections (delq connection webstorage--connections))
    (when (and on-exit (not (webstorage--stopping connection)))
      (webstorage--call-later connection on-exit how))
    (dolist (buffer (list (jsonrpc-stderr-buffer connection)
                          (process-buffer (webstorage-connection-process connection))
                          (jsonrpc-events-buffer connection)))
      (kill-buffer buffer))))

(cl-defun webstorage-connect (&key (command webstorage-command)
                                   storage-dir origin quota on-exit callback)
  "Start a server and connect to it.
COMMAND is the server and its flags.  STORAGE-DIR, an absolute path, is
where persistent areas are kept.  ORIGIN is that of areas which are opened
without one, QUOTA the number of bytes that new areas may use.  ON-EXIT is
called with a message if the server ends without having been stopped.  With
CALLBACK, return at once and call it with an error or nil, and the
connection."
  (let* ((connection (webstorage--start command))
         (start
          (lambda (done)
            (setf (webstorage--origin connection) origin)
            (webstorage--call
             connection :initialize
             (list :processId (emacs-pid)
                   :clientInfo (list :name "Emacs" :version emacs-version)
                   :capabilities (make-hash-table)
                   :initializationOptions
                   ;; The JSON readers of Emacs refuse lone surrogates, so the
                   ;; server writes U+FFFD for them.
                   (append '(:illFormedStrings "replace")
                           (webstorage--given :storageDir storage-dir
                                              :origin origin :quota quota)))
             (lambda (_)
               (jsonrpc-notify connection :initialized (make-hash-table))
               ;; Of a server that never answered, the error tells.
               (setf (webstorage--on-exit connection) on-exit)
               connection)
             (lambda (failure result)
               (when failure (webstorage--kill connection))
               (funcall done failure result))))))
    (if callback
        (funcall start (lambda (failure result)
                         (webstorage--call-later connection callback failure result)))
      (condition-case failure
          (webstorage--wait connection webstorage-timeout "connect" start)
        ;; What does not answer is not left running.
        ((webstorage-error quit)
         (webstorage--kill connection)
         (signal (car failure) (cdr failure)))))))

(defun webstorage--kill (connection)
  "End the server of CONNECTION at once."
  (setf (webstorage--stopping connection) t)
  (when (process-live-p (webstorage-connection-process connection))
    (signal-process (webstorage-connection-process connection) 'SIGKILL)))

(defun webstorage-stop (connection)
  "Stop the server of CONNECTION; what was sent is carried out first.
Return the exit code of the server."
  (let ((process (webstorage-connection-process connection))
        (limit (+ (float-time) webstorage-timeout)))
    (unless (webstorage--stopping connection)
      (setf (webstorage--stopping connection) t)
      (when (process-live-p process)
        (webstorage--call connection :shutdown nil
                          (lambda (_) (jsonrpc-notify connection :exit nil))
                          #'ignore)))
    (while (and (not (webstorage--ended connection)) (< (float-time) limit))
      (accept-process-output nil 0.05))
    ;; A server that does not end by itself must not outlive Emacs.
    (webstorage--kill connection)
    (process-exit-status process)))

(defun webstorage--stop-all ()
  "Let the servers carry out what was sent to them."
  (let ((webstorage-timeout (min webstorage-timeout 1)))
    (dolist (connection (copy-sequence webstorage--connections))
      (ignore-errors (webstorage-stop connection)))))

(add-hook 'kill-emacs-hook #'webstorage--stop-all)

;;;; Areas

(cl-defun webstorage-open (connection &key persistent origin quota url callback)
  "Open an area on CONNECTION.
It is shared and kept if PERSISTENT, else of this connection only.  ORIGIN
is whose area it is; a persistent one needs it, unless `webstorage-connect'
was given one.  QUOTA is its new quota in bytes, and URL what others are
told with each change.  CALLBACK is as in all functions."
  ;; The server's default origin is everybody's.
  (when (and persistent (not (or origin (webstorage--origin connection))))
    (signal 'webstorage-error
            (webstorage--error
             "TypeError"
             "A persistent area needs an :origin of its own, such as \"https://my-package.example\"")))
  (webstorage--request
   connection :storage/open
   (append (list :persistent (if persistent t :json-false))
           (webstorage--given :origin origin :quota quota :url url))
   callback
   (lambda (result)
     (webstorage--make-area :connection connection
                            :storage (plist-get result :storage)
                            :persistent persistent
                            :origin (plist-get result :origin)
                            :quota (plist-get result :quota)))))

(defun webstorage--on (area method callback received &rest params)
  "Call METHOD on AREA with PARAMS.  CALLBACK, RECEIVED: `webstorage--request'."
  (webstorage--request (webstorage-area-connection area) method
                       (append (list :storage (webstorage-area-storage area)) params)
                       callback received))

(defun webstorage-get-item (area key &optional callback)
  "The value of KEY in AREA, or nil.  CALLBACK is as in all functions."
  (webstorage--on area :storage/getItem callback nil :key key))

(defun webstorage-set-item (area key value &optional callback)
  "Set KEY in AREA to VALUE.  CALLBACK is as in all functions."
  (webstorage--on area :storage/setItem callback nil :key key :value value))

(defun webstorage-remove-item (area key &optional callback)
  "Remove the item of KEY from AREA, if there is one.
CALLBACK is as in all functions."
  (webstorage--on area :storage/removeItem callback nil :key key))

(defun webstorage-clear (area &optional callback)
  "Remove all items of AREA.  CALLBACK is as in all functions."
  (webstorage--on area :storage/clear callback nil))

(defun webstorage-key (area index &optional callback)
  "The key at INDEX in the key order of AREA, or nil past the end.
CALLBACK is as in all functions."
  (webstorage--on area :storage/key callback nil :index index))

(defun webstorage-length (area &optional callback)
  "The number of items of AREA.  CALLBACK is as in all functions."
  (webstorage--on area :storage/length callback nil))

(defun webstorage-keys (area &optional callback)
  "The list of the keys of AREA, in key order.
CALLBACK is as in all functions."
  (webstorage--on area :storage/keys callback (lambda (keys) (append keys nil))))

(defun webstorage-entries (area &optional callback)
  "The items of AREA at one moment, as (KEY . VALUE), in key order.
CALLBACK is as in all functions."
  (webstorage--on area :storage/entries callback
                  (lambda (items)
                    (mapcar (lambda (item)
                              (cons (plist-get item :key) (plist-get item :value)))
                            items))))

(defun webstorage--items (alist)
  "ALIST of keys and values as the server takes them."
  (vconcat (mapcar (lambda (item) (list :key (car item) :value (cdr item))) alist)))

(cl-defun webstorage-transact (area &key if clear remove set callback)
  "Make several changes of AREA, all of them or none.
IF and SET are lists of (KEY . VALUE), REMOVE is a list of keys.  In IF a
nil value says that there is no such item; a condition that is not met is a
ConstraintError.  First CLEAR, then REMOVE, then SET take effect.  CALLBACK
is as in all functions."
  (apply #'webstorage--on area :storage/transact callback nil
         (append (and if (list :if (webstorage--items if)))
                 (and clear (list :clear t))
                 (and remove (list :remove (vconcat remove)))
                 (and set (list :set (webstorage--items set))))))

(defun webstorage-update (area key change)
  "Change the item of KEY in AREA atomically, whatever others do meanwhile.
CHANGE gets the value (nil if there is none) and returns the new one (nil
to remove it); it can be called several times.  Return the new value."
  (let* ((limit (+ (float-time) webstorage-timeout))
         (value (webstorage-get-item area key))
         (new (funcall change value))
         (done nil))
    (while (not (or done (equal new value)))
      (condition-case failure
          (progn
            (webstorage-transact area :if (list (cons key value))
                                 :set (and new (list (cons key new)))
                                 :remove (and (not new) (list key)))
            (setq done t))
        (webstorage-error
         (unless (equal (nth 1 failure) "ConstraintError")
           (signal (car failure) (cdr failure)))
         (let ((held (plist-get (elt (plist-get (nth 4 failure) :unmet) 0) :value)))
           (when (equal held value)
             ;; What is stored differs from what could be read of it, so no
             ;; condition can ever name it.
             (signal 'webstorage-error
                     (webstorage--error
                      "DataError"
                      "the value holds a lone surrogate or NUL, which Emacs cannot give back; `webstorage-set-item' replaces it")))
           (when (> (float-time) limit)
             (signal 'webstorage-error
                     (webstorage--error "TimeoutError" "others kept changing the item")))
           (setq value held
                 new (funcall change value))))))
    new))

(cl-defun webstorage-subscribe (area listener &key keys prefix (values t) since
                                     include-self on-overflow callback)
  "Call LISTENER with an event for each change that others make to AREA.
The event is a plist with :key, :oldValue, :newValue (all nil after a
clear), :url and :sequence.  Only changes of KEYS, a list, or of keys that
begin with PREFIX are told, without the values if VALUES is nil, and with
those after the sequence SINCE and of AREA itself (INCLUDE-SELF) too.
ON-OVERFLOW is called when events are missing, as when Emacs did not read
in time: read the area again.  The result is a `webstorage-subscription'.
CALLBACK is as in all functions."
  (let ((connection (webstorage-area-connection area)))
    (apply
     #'webstorage--on area :storage/subscribe callback
     (lambda (result)
       (let ((id (plist-get result :subscription)))
         (puthash id
                  (cons listener
                        (or on-overflow
                            (lambda (_)
                              (display-warning
                               'webstorage
                               "Changes were missed: read the area again"))))
                  (webstorage--listeners connection))
         (webstorage--make-subscription :connection connection :id id
                                        :sequence (plist-get result :sequence)
                                        :gap (eq (plist-get result :gap) t))))
     (append (and keys (list :keys (vconcat keys)))
             (and (not values) '(:values :json-false))
             (and include-self '(:includeSelf t))
             (webstorage--given :prefix prefix :since since)))))

(defun webstorage-unsubscribe (subscription &optional callback)
  "End SUBSCRIPTION.  CALLBACK is as in all functions."
  (let ((connection (webstorage-subscription-connection subscription))
        (id (webstorage-subscription-id subscription)))
    (remhash id (webstorage--listeners connection))
    (webstorage--request connection :storage/unsubscribe (list :subscription id) callback)))

(defun webstorage-close (area &optional callback)
  "Close AREA.  Its items stay: those of a session area until CONNECTION ends.
CALLBACK is as in all functions."
  (webstorage--on area :storage/close callback nil))

(provide 'webstorage)
;;; webstorage.el ends here
